"""Frechet distance of generated images to a fixed reference set, collected over a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.errors import warn
from fdplug.errors.wording import number_of
from fdplug.scores.features.frechet import Moments, frechet_distance
from fdplug.scores.features.statistics import FeatureStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class FrechetDistance:
    """Distance of generated features to those of a fixed reference set.

    Args:
        reference: the moments of the reference set, or statistics that are still being collected.
    """

    def __init__(self, reference: Moments | FeatureStatistics) -> None:
        self.reference = reference
        width = reference.width if isinstance(reference, FeatureStatistics) else len(reference.mean)
        self.generated = FeatureStatistics(width)

    def update(self, features: Tensor, ids: Sequence[int] | None = None) -> None:
        """Add features (N, d) of generated images."""
        self.generated.update(features, ids)

    def compute(self) -> float | None:
        """The distance; None with a warning where there are fewer than two images.

        Warns when either set has no more images than features: its covariance then has no full rank, and the distance
        says more about the number of images than about the images.
        """
        reference = self.reference.compute() if isinstance(self.reference, FeatureStatistics) else self.reference
        moments = self.generated.compute()
        if min(moments.count, reference.count or 2) < 2:
            few = number_of(moments.count, "image")
            warn(f"no Frechet distance of {few} to {reference.count}: 2 of each are needed")
            return None
        warn_of_few(moments, "images")
        warn_of_few(reference, "reference images")
        return frechet_distance(moments, reference)


def warn_of_few(moments: Moments, what: str) -> None:
    """Warn where a covariance cannot have full rank; a count of 0 is unknown."""
    width = len(moments.mean)
    if 0 < moments.count <= width:
        message = (
            f"Frechet distance of {moments.count} {what} with {width} features: fewer images than features. Compare it"
            " only with distances of as many images"
        )
        warn(message)
