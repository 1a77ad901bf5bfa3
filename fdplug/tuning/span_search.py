"""Better spans by trying: forecasts damped and key steps moved, every candidate measured by running it.

What one recorded run says about a forecast holds as long as the sample stays near that run. With few key steps it does
not: every span's error is in the two predictions that the next slope is drawn through, and the farther the run has
gone, the more. So the first candidates differ in how far the later half of the forecasts is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

HALVES = ((1.0, 1.0), (1.0, 0.5), (1.0, 0.0), (0.5, 0.0), (0.0, 0.0))
MOST = 1.5  # the greatest share of a linear forecast
CHANGE, FINEST = 0.3, 0.1  # by how much a share is changed at first and at last


@dataclass(frozen=True)
class Candidate:
    """Key steps, and per key step the share of the linear forecast in its span."""

    keys: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Searched:
    """The best candidate found, its measured error, and how many were measured."""

    best: Candidate
    error: float
    tried: int


def starts(cut: Candidate) -> Iterator[Candidate]:
    """Yield a cut with its forecasts as they are, then with those of its earlier and later half trusted less."""
    half = (len(cut.keys) + 1) // 2
    for early, late in HALVES:
        shares = [share * (early if place < half else late) for place, share in enumerate(cut.shares)]
        yield Candidate(cut.keys, tuple(shares))


def search(begin: Sequence[Candidate], steps: int, error: Callable[[Candidate], float], budget: int) -> Searched:
    """Move key steps and change shares one at a time, as long as that helps.

    The best of `begin` is taken. Then each span in turn has its key step moved by one, down or up, and its share
    lowered or raised, going on in the same direction while the error falls; a round without any gain halves the change
    of the shares, until that is finer than anybody could measure. The first step stays a key step and has no forecast.

    Args:
        begin: candidates of one number of key steps.
        steps: of the run.
        error: measures a candidate; asked once for each.
        budget: most candidates to measure, those of `begin` included; at least the first is.
    """
    known: dict[Candidate, float] = {}

    def better(one: Candidate, other: Candidate) -> bool:
        if one not in known and len(known) < budget:
            known[one] = error(one)
        return known.get(one, float("inf")) < known[other]

    best = begin[0]
    known[best] = error(best)
    for other in begin[1:]:
        best = other if better(other, best) else best
    change = CHANGE
    while change >= FINEST and len(known) < budget:
        before = best
        for place in range(1, len(best.keys)):
            best = _span(best, place, steps, change, better)
        change = change if best != before else change / 2
    return Searched(best, known[best], len(known))


def _span(
    best: Candidate, place: int, steps: int, change: float, better: Callable[[Candidate, Candidate], bool]
) -> Candidate:
    """Improve one span's key step, then its share."""
    for move, sizes in ((_moved, (-1, 1)), (_damped, (-change, change))):
        for size in sizes:
            given = best
            while (other := move(best, place, size, steps)) is not None and better(other, best):
                best = other
            if best != given:
                break
    return best


def _moved(one: Candidate, place: int, by: float, steps: int) -> Candidate | None:
    """Return the candidate with one key step moved; None where another one is, or the end of the run."""
    keys = list(one.keys)
    keys[place] += int(by)
    after = keys[place + 1] if place + 1 < len(keys) else steps
    return Candidate(tuple(keys), one.shares) if keys[place - 1] < keys[place] < after else None


def _damped(one: Candidate, place: int, by: float, steps: int) -> Candidate | None:
    """Return the candidate with one share changed, within 0 and the most; None where it is there already."""
    shares = list(one.shares)
    shares[place] = round(min(MOST, max(0.0, shares[place] + by)), 4)
    return Candidate(one.keys, tuple(shares)) if shares[place] != one.shares[place] else None
