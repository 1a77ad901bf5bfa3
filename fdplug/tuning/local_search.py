"""Better key steps by trying: a descent from the best of a few starts, every candidate measured by running it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Keys = tuple[int, ...]


@dataclass(frozen=True)
class Refined:
    """The best key steps found, their measured error, and how many candidates were measured."""

    keys: Keys
    error: float
    tried: int


def refine(starts: Iterable[Iterable[int]], steps: int, error: Callable[[Keys], float], budget: int) -> Refined:
    """Move key steps one at a time as long as that helps.

    The best of `starts` is taken. Then each key step in turn is moved by one, and on in the same direction while the
    error falls; with every round without any gain the step width doubles, until it exceeds a quarter of the run. The
    first step stays a key step.

    Args:
        starts: key steps to begin from, all of the same number.
        steps: of the run.
        error: measures a candidate; asked once for each.
        budget: most candidates to measure, the starts included; at least the starts are.
    """
    known: dict[Keys, float] = {}

    def measured(keys: Keys) -> float:
        if keys not in known:
            known[keys] = error(keys)
        return known[keys]

    best = min((tuple(sorted(set(keys))) for keys in starts), key=measured)
    width = 1
    while width <= max(1, steps // 4) and len(known) < budget:
        before = best
        for place in range(1, len(best)):
            best = _slide(best, place, width, steps, measured, lambda: len(known) < budget)
        width = 1 if best != before else 2 * width
    return Refined(best, known[best], len(known))


def _slide(
    keys: Keys, place: int, width: int, steps: int, error: Callable[[Keys], float], more: Callable[[], bool]
) -> Keys:
    """Move one key step down or up for as long as that helps."""
    for direction in (-width, width):
        for moved in _moves(keys, place, direction, steps):
            if not more() or error(moved) >= error(keys):
                break
            keys = moved
    return keys


def _moves(keys: Keys, place: int, by: int, steps: int) -> Iterator[Keys]:
    """Yield `keys` with the one at `place` moved by `by`, by twice that, ..., between its neighbours."""
    low = keys[place - 1]
    high = keys[place + 1] if place + 1 < len(keys) else steps
    at = keys[place] + by
    while low < at < high:
        yield (*keys[:place], at, *keys[place + 1 :])
        at += by
