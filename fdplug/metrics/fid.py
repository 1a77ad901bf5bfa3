"""FID: Frechet distance of features to those of real images, and files of their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fdplug.metrics.distance import FrechetDistance
from fdplug.metrics.score import Captioned, Score

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.metrics.extractor import Extractor
    from fdplug.metrics.frechet import Moments
    from fdplug.metrics.statistics import FeatureStatistics


class Fid(Score):
    """Frechet distance to the reference images; FID proper with the extractor `inception`.

    Args:
        extractor: what makes the features; several scores may share one.
        reference: moments of the reference images, or statistics that add up over ranks.
    """

    labels: ClassVar[dict[str, str]] = {"fid": "FID"}

    def __init__(self, extractor: Extractor, reference: Moments | FeatureStatistics) -> None:
        super().__init__()
        self.extractor = extractor
        self.distance = FrechetDistance(reference)

    def update(self, images: Tensor, captions: Sequence[Captioned] = ()) -> None:
        """Add a batch of images."""
        self.distance.update(self.extractor.features(images))

    def compute(self) -> dict[str, float]:
        """The distance over all images."""
        distance = self.distance.compute()
        return {} if distance is None else {"fid": distance}
