"""Mean, spread and extremes of numbers that are seen once."""

from __future__ import annotations

import math
from collections.abc import Iterable


class RunningMoments:
    """Count, mean, variance, least and greatest of a stream of numbers.

    Source: Welford's recursion (Technometrics 4, 1962), which loses no digits where the spread is small.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, values: Iterable[float]) -> None:
        """Take more numbers in."""
        for value in values:
            self.count += 1
            before = value - self.mean
            self.mean += before / self.count
            self._squares += before * (value - self.mean)
            self.least, self.most = min(self.least, value), max(self.most, value)

    @property
    def std(self) -> float:
        """Standard deviation over all numbers (divided by their count)."""
        return math.sqrt(self._squares / self.count) if self.count else 0.0
