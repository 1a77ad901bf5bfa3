"""Obedience of `shapes-controlnet`: whether the objects of a picture end where the given outlines are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdplug.errors import DataError
from fdplug.predict.storage.names import IMAGE
from fdplug.scores.base import CAPTIONS, Batch, Captioned, MeanScore, Number

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class OutlineScore(MeanScore):
    """How well pictures keep to the outlines of their captions' scenes: F1 of boundaries within one pixel.

    A trained judge of the embedded model finds the objects of a picture, whatever their patterns. The outlines are
    drawn from the scene, whether or not the model was given them.
    """

    name = "outlines"
    numbers = (Number("outline_f1", "outline F1", higher_is_better=True, with_error=True),)
    needs = frozenset({CAPTIONS})
    media = frozenset({IMAGE})
    finder: Any

    def check(self, captions: Sequence[Captioned]) -> None:
        """Refuse captions whose scenes are not known: nobody can say where the outlines are.

        Raises:
            DataError: names the first such caption.
        """
        for caption in captions:
            if getattr(caption, "scene", None) is None:
                raise DataError(
                    f"caption of image {caption.image_id} has no scene, so its outlines are not known; take the "
                    "captions of shapes-controlnet, or leave out the score 'outlines'"
                )

    def load(self, device: torch.device | str) -> None:
        """Load the judge."""
        from fdplug.shapes.control.agreement import load_finder

        self.finder = load_finder(device)

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the F1 score of each picture."""
        import numpy as np
        import torch

        from fdplug.shapes.control.agreement import found_boundaries, outline_f1
        from fdplug.shapes.control.outlines import outlines_of_caption

        scenes = [getattr(caption, "scene", None) for caption in batch.captions]
        drawn = [outlines_of_caption("", scene)[..., 0] for scene in scenes]
        given = torch.from_numpy(np.stack(drawn)) > 127
        return {"outline_f1": outline_f1(found_boundaries(self.finder, batch.images.float() / 255), given)}
