"""Alpha and tau of the prior noise, from a few runs.

The prior noise enters linearly, and little of it: to first order it moves the final sample by alpha times a direction
that depends on tau alone. So one run per tau gives that direction g, and the alpha for which the final sample comes
closest to the un-accelerated one, where e is what propagation did to it, is a parabola's lowest point:
alpha = -<e, g> / <g, g>.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fdplug.tuning.trials import Trials

TAUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
PROBE = 0.003


@dataclass(frozen=True)
class Candidate:
    """The best alpha for one tau, and the error that it promises by first order."""

    alpha: float
    tau: float
    expected: float


@dataclass(frozen=True)
class Injection:
    """The best prior noise.

    Attributes:
        alpha: its share; 0 if every noise takes the images further away.
        tau: noise time below which it is injected.
        error: measured mean squared change of the final sample with it.
        without: the same without noise.
        candidates: what each tau promised.
    """

    alpha: float
    tau: float
    error: float
    without: float
    candidates: tuple[Candidate, ...]


def tune_injector(trials: Trials, keys: Sequence[int], taus: Iterable[float] = TAUS) -> Injection:
    """Return alpha and tau with which the final samples come closest to the un-accelerated ones.

    Takes one run for each tau, and two more.
    """
    moved = trials.final(keys, "none")
    without = float(moved.square().mean())
    candidates = []
    for tau in taus:
        with_noise = trials.final(keys, {"prior": {"alpha": PROBE, "tau": tau}})
        along = (with_noise - moved) / PROBE
        length = float(along.square().mean())
        alpha = max(0.0, -float((moved * along).mean()) / length) if length else 0.0
        expected = float((moved + alpha * along).square().mean())
        candidates.append(Candidate(alpha, tau, expected))
    best = min(candidates, key=lambda one: one.expected)
    if best.alpha == 0:
        return Injection(0.0, best.tau, without, without, tuple(candidates))
    error = float(trials.final(keys, {"prior": {"alpha": best.alpha, "tau": best.tau}}).square().mean())
    alpha = best.alpha if error < without else 0.0
    return Injection(alpha, best.tau, min(error, without), without, tuple(candidates))
