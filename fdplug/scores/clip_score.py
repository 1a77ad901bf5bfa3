"""CLIP score: how well images show what their captions say, by a CLIP model of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.scores.base import CAPTIONS, Batch, MeanScore, Number
from fdplug.scores.features import CLIP_MODEL

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class ClipScore(MeanScore):
    """CLIP score: 100 x the mean cosine between image and caption, the number of torchmetrics' `CLIPScore`.

    The score is Hessel et al.'s (arXiv 2104.08718), without their factor 2.5 / 100. It is computed here image by image,
    which torchmetrics does not offer, for the standard error and for differences between pairs.

    Args:
        model: hub id or folder of a CLIP model; scores of different models cannot be compared.
        allow_pickle: also load `.bin` weights, which can run code.
    """

    name = "clip"
    numbers = (Number("clip_score", "CLIP score", higher_is_better=True, digits=2, headline=True),)
    needs = frozenset({CAPTIONS})

    def __init__(self, model: str = CLIP_MODEL, allow_pickle: bool = False) -> None:
        self.model, self.allow_pickle = model, allow_pickle

    def load(self, device: torch.device | str) -> None:
        """Load the CLIP model; several scores share one."""
        from fdplug.scores.features.clip import load_clip

        self.clip = load_clip(self.model, device, self.allow_pickle)

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return 100 x the cosine of each image and its caption."""
        return {"clip_score": 100 * self.clip.cosines(batch.images, batch.texts)}

    def compute(self) -> dict[str, float]:
        """Return the mean over all images, at least 0 as in torchmetrics, and its standard error."""
        return {key: max(value, 0.0) for key, value in super().compute().items()}
