"""Scores of the embedded `shapes` model: analogues of FID and CLIP score, semantic accuracy, and texture.

They are named apart everywhere, because their numbers cannot be compared with those of the real FID and CLIP score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torchmetrics import CatMetric

from fdplug.errors import DataError
from fdplug.metrics.distance import FrechetDistance
from fdplug.metrics.extractor import SHAPES, Extractor
from fdplug.metrics.frechet import Moments
from fdplug.metrics.score import Captioned, MeanScore, full_precision
from fdplug.metrics.uncertainty import clustered, frechet_resamples
from fdplug.shapes.drawing import draw
from fdplug.shapes.scene import Scene
from fdplug.shapes.texture import texture_distance

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.metrics.statistics import FeatureStatistics

SCALE = 1000.0
ATTRIBUTES = ("layout", "background", "size", "fill", "colour", "shape")


class ShapesExtractor(Extractor):
    """The embedding of the shapes evaluators.

    Args:
        evaluators: what `fdplug.shapes.evaluators.load` returns.
    """

    kind = SHAPES

    def __init__(self, evaluators: Any) -> None:
        super().__init__(evaluators.embedder)
        self.evaluators = evaluators
        self.width = evaluators.embed_texts([""]).shape[1]

    def embed(self, images: Tensor) -> Tensor:
        return self.evaluators.embed_images(images.float() / 255)


class ShapesScores(MeanScore):
    """shapes-FD (x 1000), shapes-CLIP, what of the caption is right, and texture, each with its standard error.

    Args:
        extractor: the embedding, with the evaluators.
        reference: statistics of the embeddings of drawn scenes; None leaves out shapes-FD.
    """

    labels: ClassVar[dict[str, str]] = {
        "shapes_fd": "shapes-FD x1000",
        "shapes_clip": "shapes-CLIP",
        "semantic_accuracy": "semantic accuracy",
        **{f"semantic_{name}": f"{name} right" for name in ATTRIBUTES},
        "texture_distance_db": "texture distance dB",
    }

    def __init__(self, extractor: Any, reference: Moments | FeatureStatistics | None) -> None:
        super().__init__(*(key for key in self.labels if key != "shapes_fd"))
        self.extractor = extractor
        self.distance = None if reference is None else FrechetDistance(reference)
        self.features, self.numbers = CatMetric(), CatMetric()

    def values(self, images: Tensor, captions: Sequence[Captioned]) -> dict[str, Tensor]:
        """The cosine of image and caption, what of the caption the picture shows, and how far its texture is.

        The texture is compared with the drawing of the caption's scene, so there is none for captions without one.
        """
        texts = [caption.text for caption in captions]
        judges = self.extractor.evaluators
        with torch.no_grad(), full_precision(self.extractor.device):
            floats = images.float() / 255
            right = {name: one.float() for name, one in judges.semantics(floats, texts).items()}
            values = {"shapes_clip": judges.clip_score(floats, texts), "semantic_accuracy": right["all"]}
            values |= {f"semantic_{name}": right[name] for name in ATTRIBUTES}
            return values | _texture(floats, captions)

    def update(self, images: Tensor, captions: Sequence[Captioned]) -> None:
        """Add a batch of images."""
        super().update(images, captions)
        if self.distance is not None:
            features = self.extractor.features(images)
            self.distance.update(features)
            self.features.update(features)
            numbers = [getattr(caption, "image_id", 0) for caption in captions]
            self.numbers.update(torch.tensor(numbers, dtype=torch.int64))

    def compute(self) -> dict[str, float]:
        """The scores; the standard error of the accuracy is that of a share of independent images.

        That of shapes-FD is the spread of distances of as many images, drawn again and again with replacement.
        """
        distance = None if self.distance is None else self.distance.compute()
        means = super().compute()
        count, share, _ = self._mean("semantic_accuracy").compute()
        if count:
            means["semantic_accuracy_se"] = standard_error(share, count)
        if distance is None:
            return means
        return {"shapes_fd": SCALE * distance, "shapes_fd_se": SCALE * self._distance_error(), **means}

    def _distance_error(self) -> float:
        assert self.distance is not None
        given = self.distance.reference
        reference = given if isinstance(given, Moments) else given.compute()
        features = torch.as_tensor(self.features.compute()).cpu()
        # Processes hand in their images in turns: brought into one order, the resamples are the same for any number.
        features = features[torch.as_tensor(self.numbers.compute()).cpu().argsort(stable=True)]
        return float(frechet_resamples(clustered(features[:, None]), reference).std())


def _texture(images: Tensor, captions: Sequence[Captioned]) -> dict[str, Tensor]:
    """Texture distance (N,) of images in [0, 1] to their captions' drawings; none if a scene is missing."""
    scenes: list[Any] = [getattr(caption, "scene", None) for caption in captions]
    if None in scenes:
        return {"texture_distance_db": torch.empty(0)}
    drawn = np.stack([draw(Scene.from_dict(scene)) for scene in scenes])
    reference = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
    return {"texture_distance_db": texture_distance(images, reference)}


def standard_error(share: float, count: float) -> float:
    """Standard error of a share of `count` independent images.

    One hit and one miss are added first, so that a share of 0 or 1 is not claimed to be certain.
    """
    smoothed = (share * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (count + 2))


def check_captions(captions: Sequence[Any]) -> None:
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
