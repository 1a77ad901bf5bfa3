"""Scores of the embedded `shapes` model: analogues of FID and CLIP score, semantic accuracy, and texture.

They are named apart everywhere, because their numbers cannot be compared with those of the real FID and CLIP score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdplug.errors import DataError
from fdplug.predict.storage.names import IMAGE
from fdplug.scores.base import CAPTIONS, REFERENCE, Batch, Captioned, MeanScore, Number
from fdplug.scores.features import SHAPES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fdplug.scores.features.reference import Reference

SCALE = 1000.0
ATTRIBUTES = ("layout", "background", "size", "fill", "colour", "shape")


class ShapesScores(MeanScore):
    """shapes-FD, shapes-CLIP, semantic accuracy and texture by the embedded model; no FID and no CLIP score.

    Without real images shapes-FD is left out.
    """

    name = SHAPES
    numbers = (
        Number("shapes_fd", "shapes-FD x1000", higher_is_better=False, digits=1),
        Number("shapes_clip", "shapes-CLIP", higher_is_better=True),
        Number("semantic_accuracy", "semantic accuracy", higher_is_better=True, headline=True, with_error=True),
        *(Number(f"semantic_{one}", f"{one} right", higher_is_better=True, column=False) for one in ATTRIBUTES),
        Number("texture_distance_db", "texture", higher_is_better=False, digits=2, unit="dB", with_error=True),
    )
    needs = frozenset({CAPTIONS, REFERENCE})
    media = frozenset({IMAGE})
    extractor: Any

    @property
    def means(self) -> tuple[str, ...]:
        """All but shapes-FD."""
        return tuple(number.key for number in self.numbers if number.key != "shapes_fd")

    def check(self, captions: Sequence[Captioned]) -> None:
        """Refuse captions that are not of the shapes world: their semantics cannot be checked.

        Raises:
            DataError: names the first such caption.
        """
        from fdplug.shapes.captions import parse_caption

        for caption in captions:
            try:
                parse_caption(caption.text)
            except ValueError as error:
                raise DataError(f"caption of image {caption.image_id} is not of the shapes world: {error}") from error

    def load(self, device: torch.device | str) -> None:
        """Load the evaluators."""
        from fdplug.scores.features.extractors import load_extractor

        self.extractor = load_extractor(SHAPES, device)

    def begin(self, reference: Reference | None = None) -> None:
        """Begin; without real images there is no shapes-FD."""
        from fdplug.scores.features.distance import FrechetDistance

        super().begin(reference)
        self.distance = None if reference is None else FrechetDistance(reference.statistics(self.extractor))

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cosine of image and caption, what of the caption the picture shows, and how far its texture is.

        The texture is compared with the drawing of the caption's scene, so there is none for captions without one.
        """
        import torch

        from fdplug.scores.features.extractor import full_precision

        judges, texts = self.extractor.evaluators, batch.texts
        with torch.no_grad(), full_precision(self.extractor.device):
            floats = batch.images.float() / 255
            right = {name: one.float() for name, one in judges.semantics(floats, texts).items()}
            values = {"shapes_clip": judges.clip_score(floats, texts), "semantic_accuracy": right["all"]}
            values |= {f"semantic_{name}": right[name] for name in ATTRIBUTES}
            return values | {"texture_distance_db": _texture(floats, batch.captions)}

    def update(self, batch: Batch) -> None:
        super().update(batch)
        if self.distance is not None:
            self.distance.update(self.extractor.features(batch.images), batch.ids)

    def compute(self) -> dict[str, float]:
        """Return the scores; the standard error of the accuracy is that of a share of independent images.

        That of shapes-FD is the spread of distances of as many images, drawn again and again with replacement: in the
        order of their ids, so that the resamples are the same for any number of processes.
        """
        from fdplug.scores.features.frechet import Moments
        from fdplug.scores.uncertainty import clustered, frechet_resamples

        means = super().compute()
        if "semantic_accuracy" in means:
            count = len(self._rows["semantic_accuracy"].gathered())
            means["semantic_accuracy_se"] = standard_error(means["semantic_accuracy"], count)
        distance = None if self.distance is None else self.distance.compute()
        if distance is None or self.distance is None:
            return means
        given = self.distance.reference
        reference = given if isinstance(given, Moments) else given.compute()
        error = frechet_resamples(clustered(self.distance.generated.features()[:, None]), reference).std()
        return {"shapes_fd": SCALE * distance, "shapes_fd_se": SCALE * float(error), **means}


def _texture(images: Tensor, captions: Sequence[Any]) -> Tensor:
    """Texture distance (N,) of images in [0, 1] to their captions' drawings; (0,) if a scene is missing."""
    import numpy as np
    import torch

    from fdplug.shapes.drawing import draw
    from fdplug.shapes.scene import Scene
    from fdplug.shapes.texture import texture_distance

    scenes: list[Any] = [getattr(caption, "scene", None) for caption in captions]
    if None in scenes:
        return torch.empty(0)
    drawn = np.stack([draw(Scene.from_dict(scene)) for scene in scenes])
    return texture_distance(images, torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)


def standard_error(share: float, count: float) -> float:
    """Return the standard error of a share of `count` independent images.

    One hit and one miss are added first, so that a share of 0 or 1 is not claimed to be certain.
    """
    smoothed = (share * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (count + 2))
