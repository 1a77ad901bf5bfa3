"""The best key steps for every budget: an optimal cut of a run into spans, by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segmentation:
    """A run cut into spans.

    Attributes:
        keys: the key steps, in order.
        error: the sum of the costs of its spans.
    """

    keys: tuple[int, ...]
    error: float


def segment(costs: Sequence[Sequence[float]]) -> list[Segmentation]:
    """Return the cheapest segmentation with 1, 2, ..., T key steps.

    Args:
        costs: `costs[i][n]` is the cost of a span of n + 1 steps whose key step is i; row i has T - i entries.

    Source:
        The textbook recursion of optimal segmentation (Bellman, 1961): the best cut of the first j steps into k spans
        ends with some span [i, j) behind the best cut of the first i steps into k - 1. O(T^3) for all k together.
    """
    total = len(costs)
    best = [0.0, *[float("inf")] * total]
    starts: list[list[int]] = []
    found = []
    for count in range(1, total + 1):
        best, start = _one_more(costs, best)
        starts.append(start)
        found.append(Segmentation(_keys(starts, total), best[total]))
        assert len(found[-1].keys) == count
    return found


def price(costs: Sequence[Sequence[float]], keys: Sequence[int]) -> float:
    """Return what a cut costs: the sum over its spans, the last of which ends with the run."""
    ends = [*keys[1:], len(costs)]
    return sum(costs[key][end - key - 1] for key, end in zip(keys, ends, strict=True))


def _one_more(costs: Sequence[Sequence[float]], best: list[float]) -> tuple[list[float], list[int]]:
    """From the cost of the first j steps in k spans, for every j, to that in k + 1 spans, and where the last begins."""
    longer = [float("inf")] * len(best)
    start = [0] * len(best)
    for end in range(1, len(best)):
        for first in range(end):
            cost = best[first] + costs[first][end - first - 1]
            if cost < longer[end]:
                longer[end], start[end] = cost, first
    return longer, start


def _keys(starts: list[list[int]], end: int) -> tuple[int, ...]:
    keys = []
    for start in reversed(starts):
        end = start[end]
        keys.append(end)
    return tuple(reversed(keys))
