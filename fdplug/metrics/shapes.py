"""Scores of the embedded `shapes` model: analogues of FID and CLIP score by its own evaluators, and semantic accuracy.

They are named apart everywhere, because their numbers cannot be compared with those of the real FID and CLIP score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fdplug.errors import DataError
from fdplug.metrics.distance import FrechetDistance
from fdplug.metrics.extractor import SHAPES, Extractor
from fdplug.metrics.score import Captioned, MeanScore, full_precision

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.metrics.frechet import Moments
    from fdplug.metrics.statistics import FeatureStatistics

SCALE = 1000.0


class ShapesExtractor(Extractor):
    """The embedding of the shapes evaluators.

    Args:
        evaluators: What `fdplug.shapes.evaluators.load` returns.
    """

    kind = SHAPES

    def __init__(self, evaluators: Any) -> None:
        super().__init__(evaluators.embedder)
        self.evaluators = evaluators
        self.width = evaluators.embed_texts([""]).shape[1]

    def embed(self, images: Tensor) -> Tensor:
        return self.evaluators.embed_images(images.float() / 255)


class ShapesScores(MeanScore):
    """shapes-FD (x 1000), shapes-CLIP and semantic accuracy with its standard error.

    Args:
        extractor: The embedding, with the evaluators.
        reference: Statistics of the embeddings of drawn scenes; None leaves out shapes-FD.
    """

    labels: ClassVar[dict[str, str]] = {
        "shapes_fd": "shapes-FD x1000",
        "shapes_clip": "shapes-CLIP",
        "semantic_accuracy": "semantic accuracy",
    }

    def __init__(self, extractor: Any, reference: Moments | FeatureStatistics | None) -> None:
        super().__init__("shapes_clip", "semantic_accuracy")
        self.extractor = extractor
        self.distance = None if reference is None else FrechetDistance(reference)

    def values(self, images: Tensor, captions: Sequence[Captioned]) -> dict[str, Tensor]:
        """The cosine of image and caption, and whether the picture shows what its caption demands."""
        texts = [caption.text for caption in captions]
        judges = self.extractor.evaluators
        with torch.no_grad(), full_precision(self.extractor.device):
            floats = images.float() / 255
            right = judges.semantics(floats, texts)["all"].float()
            return {"shapes_clip": judges.clip_score(floats, texts), "semantic_accuracy": right}

    def update(self, images: Tensor, captions: Sequence[Captioned]) -> None:
        """Add a batch."""
        super().update(images, captions)
        if self.distance is not None:
            self.distance.update(self.extractor.features(images))

    def compute(self) -> dict[str, float]:
        """The scores; the standard error of the accuracy is that of a share of independent images."""
        distance = None if self.distance is None else self.distance.compute()
        means = super().compute()
        count, share, _ = self._mean("semantic_accuracy").compute()
        if count:
            means["semantic_accuracy_se"] = standard_error(share, count)
        return {**({} if distance is None else {"shapes_fd": SCALE * distance}), **means}


def standard_error(share: float, count: float) -> float:
    """Standard error of a share of `count` independent images.

    One hit and one miss are added first, so that a share of 0 or 1 is not claimed to be certain.
    """
    smoothed = (share * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (count + 2))


def check_captions(captions: Sequence[Any]) -> None:
    """Refuse captions that are not of the shapes world: their semantics cannot be checked.

    Raises:
        DataError: Names the first such caption.
    """
    from fdplug.shapes.captions import parse_caption

    for caption in captions:
        try:
            parse_caption(caption.text)
        except ValueError as error:
            raise DataError(f"caption of image {caption.image_id} is not of the shapes world: {error}") from error
