"""What a candidate gave on some captions, and how two of them compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A mean difference of pairs and its standard error.

    Attributes:
        value: the mean.
        error: its standard error; infinite for a single pair.
    """

    value: float
    error: float

    @property
    def is_gain(self) -> bool:
        """Whether it is above 0 by more than twice its error."""
        return self.value > 2 * self.error

    @property
    def is_loss(self) -> bool:
        """Whether it is below 0 by more than twice its error."""
        return -self.value > 2 * self.error


def paired(one: Array, other: Array) -> Difference:
    """Return the mean of `one - other`, pair by pair."""
    differences = one - other
    count = len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Difference(float(differences.mean()), error)


@dataclass(frozen=True)
class Outcome:
    """What a candidate gave on some captions.

    Attributes:
        values: `psnr` and the scores, one number an image, in the order of the captions.
        seconds: an image, one number a batch.
    """

    values: Mapping[str, Array]
    seconds: Sequence[float]

    def mean(self, key: str) -> float:
        """Return the mean over images."""
        return float(self.values[key].mean())

    def error(self, key: str) -> float:
        """Return the standard error of that mean; that of a share counts one more hit and miss."""
        values = self.values[key]
        count = len(values)
        if np.isin(values, (0.0, 1.0)).all():
            share = (values.sum() + 1) / (count + 2)
            return math.sqrt(share * (1 - share) / (count + 2))
        return float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf

    @property
    def pace(self) -> float:
        """Seconds an image: the median of the batches."""
        return median(self.seconds)

    def against(self, other: Outcome, key: str) -> Difference:
        """Return the paired difference to another candidate on the same captions."""
        return paired(self.values[key], other.values[key])


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points (cost, quality) that none beats: at most their cost and at least their quality.

    Of equal points the first one counts.
    """
    found, best = [], -math.inf
    for place in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1], index)):
        if points[place][1] > best:
            found.append(place)
            best = points[place][1]
    return sorted(found)
