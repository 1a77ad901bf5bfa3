"""How long the rounds of a variant took, and when two times differ by more than the rounds among themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

EQUAL = 0.001
"""GFLOPs that differ by less than this share are called equal."""


@dataclass(frozen=True)
class Spread:
    """The median of the timed rounds, and their range from the fastest to the slowest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values, of which there is at least one."""
        return cls(median(values), min(values), max(values))

    @classmethod
    def read(cls, row: Mapping[str, Any], key: str) -> Spread:
        """Return what a row of results holds; one without a range, as older files have it, has no spread."""
        least, most = row.get(f"{key}_range") or (row[key], row[key])
        return cls(row[key], least, most)

    def row(self, key: str) -> dict[str, Any]:
        """Return the entries of a row."""
        return {key: self.median, f"{key}_range": [self.least, self.most]}

    def differs(self, other: Spread) -> bool:
        """Whether every round of one was faster than every round of the other."""
        return self.most < other.least or other.most < self.least

    def __str__(self) -> str:
        """Write the median, and the range if it is seen."""
        middle, least, most = (f"{value:.3g}" for value in (self.median, self.least, self.most))
        return middle if least == most else f"{middle} ({least} to {most})"


def ratios(baseline: Sequence[float], own: Sequence[float]) -> Spread:
    """Return how many times as fast each round was as the baseline's round beside it: a slow moment slows both."""
    return Spread.of([one / other for one, other in zip(baseline, own, strict=True)])


def unequal_times(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for every number of GFLOPs that variants share while their times differ beyond the spread."""
    sentences, left = [], sorted(rows, key=lambda row: row["gflops_per_image"])
    while left:
        equal = [row for row in left if row["gflops_per_image"] <= left[0]["gflops_per_image"] * (1 + EQUAL)]
        left = left[len(equal) :]
        times = {row["name"]: Spread.read(row, "denoiser_seconds_per_image") for row in equal}
        fast, slow = (choose(times, key=lambda name: times[name].median) for choose in (min, max))
        if times[fast].differs(times[slow]):
            sentences.append(
                f"{fast} and {slow} take the same {equal[0]['gflops_per_image']:.3g} GFLOPs, but {times[fast]} and"
                f" {times[slow]} denoiser s/image, a difference beyond the spread of the rounds: it is not arithmetic"
                " that takes the time, or the machine was busy."
            )
    return sentences
