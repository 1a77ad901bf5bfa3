"""Scores of the embedded `shapes` model: analogues of FID and CLIP score by its own evaluators, and semantic accuracy.

They are named apart everywhere, because their numbers cannot be compared with those of the real FID and CLIP score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torchmetrics import MeanMetric, SumMetric

from fdplug.errors import DataError
from fdplug.metrics.distance import FrechetDistance
from fdplug.metrics.statistics import FeatureStatistics
from fdplug.predict.scores import Advance, Score, quietly, reference_statistics

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.references import ReferenceImages

SCALE = 1000.0


class ShapesScores(Score):
    """shapes-FD (x 1000), shapes-CLIP and semantic accuracy with its standard error.

    Args:
        evaluators: What `fdplug.shapes.evaluators.load` returns.
        reference: Statistics of the embeddings of drawn scenes.
    """

    labels: ClassVar[dict[str, str]] = {
        "shapes_fd": "shapes-FD x1000",
        "shapes_clip": "shapes-CLIP",
        "semantic_accuracy": "semantic accuracy",
        "semantic_accuracy_se": "its standard error",
    }

    def __init__(self, evaluators: Any, reference: FeatureStatistics) -> None:
        super().__init__()
        self.evaluators = evaluators
        self.distance = FrechetDistance(reference)
        self.alignment = MeanMetric()
        self.right = MeanMetric()
        self.count = SumMetric()

    def update(self, images: Tensor, captions: Sequence[Caption]) -> None:
        """Add a batch."""
        texts = [caption.text for caption in captions]
        floats, device = as_floats(images), self.alignment.device
        with torch.no_grad():
            self.distance.update(self.evaluators.embed_images(floats))
            self.alignment.update(self.evaluators.clip_score(floats, texts).to(device))
            self.right.update(self.evaluators.semantics(floats, texts)["all"].float().to(device))
            self.count.update(len(texts))

    def compute(self) -> dict[str, float]:
        """The three scores; the standard error is that of a share of independent images."""
        share, count = float(self.right.compute()), float(self.count.compute())
        return {
            "shapes_fd": SCALE * self.distance.compute(),
            "shapes_clip": float(self.alignment.compute()),
            "semantic_accuracy": share,
            "semantic_accuracy_se": standard_error(share, count),
        }


def standard_error(share: float, count: float) -> float:
    """Standard error of a share of `count` independent images.

    One hit and one miss are added first, so that a share of 0 or 1 is not claimed to be certain.
    """
    smoothed = (share * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (count + 2))


def load(references: ReferenceImages, device: torch.device | str = "cpu", advance: Advance = quietly) -> ShapesScores:
    """Load the trained evaluators and embed the real (drawn) images with them."""
    from fdplug.shapes import evaluators

    trained = evaluators.load(device)
    return ShapesScores(trained, reference_statistics(embedding(trained, device), references, None, advance))


def as_floats(images: Tensor) -> Tensor:
    """8-bit images as floats in [0, 1]."""
    return images.float() / 255


def embedding(evaluators: Any, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """8-bit images -> features, by the evaluators' image tower."""
    return lambda images: evaluators.embed_images(as_floats(images).to(device))


def check_captions(captions: Sequence[Caption]) -> None:
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
