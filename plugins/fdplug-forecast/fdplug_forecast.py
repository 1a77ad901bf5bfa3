"""Forecast features for fdplug: extrapolated in time from the last key steps, instead of reused as they are.

Whatever the basis, a forecast is a weighted sum of the features of the key steps that are kept. The weights are plain
numbers that depend on the times of the steps alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import factorial

import fdplug
from fdplug.caches import FeatureCache, Point, Weighted
from fdplug.checks import choice, number, whole
from fdplug.errors import ConfigError

FDPLUG_CONTRACT = "1.1"
BASES = ("taylor", "hermite", "chebyshev")
HIGHEST = {"taylor": 3, "hermite": 3, "chebyshev": 8}
CONTRACTION = 0.5  # sigma of HiCache's scaled Hermite polynomials


class Forecast(Weighted):
    """Features forecast from the last key steps: Taylor (TaylorSeer), Hermite (HiCache) or Chebyshev (Spectrum).

    - `taylor` (arXiv 2503.06923): with key steps at times t_0 (the last), t_1, ..., and differences D_0 = F and
      D_j(t_k) = (D_(j-1)(t_k) - D_(j-1)(t_(k+1))) / (t_k - t_(k+1)), F(t) = sum of D_j(t_0) (t - t_0)^j / j!
    - `hermite` (arXiv 2508.16984): the same with s^j H_j(s u) for u^j, u counted in distances of the last
      two key steps, s = 1/2
    - `chebyshev` (arXiv 2603.01623): F(t) = sum of c_m T_m(2 t - 1), c by ridge regression over the last `points` key
      steps

    The order is lower until there are enough key steps: the first span reuses its features. What is handed out is
    w x forecast + (1 - w) x what `against` names. The weight w is `blend` within half the `horizon`, and falls to 0
    where the horizon ends: what counts is the greater one of the distance of the last two key steps and of the step
    ahead.

    Args:
        order: highest order, 0 (reuse) to 3; of Chebyshev polynomials to 8 (the paper takes 4).
        basis: `taylor`, `hermite` or `chebyshev`.
        blend: the greatest weight of the forecast.
        against: what the rest is: `reuse` of the last features, or the `linear` forecast (Spectrum).
        horizon: in shares of the run's noise time; null trusts every forecast.
        reach: how far to go, in distances of the last two key steps; steps farther away get what is there.
        clock: what distances are measured in: noise `time`, or the `step`'s number (TaylorSeer).
        ridge: the regression's penalty.
        points: how many key steps the regression looks at.
    """

    name = "forecast"

    def __init__(
        self,
        order: int = 1,
        reach: float = 1.0,
        basis: str = "taylor",
        blend: float = 1.0,
        against: str = "reuse",
        horizon: float | None = 0.1,
        clock: str = "time",
        ridge: float = 0.1,
        points: int = 8,
    ) -> None:
        super().__init__()
        self.order, self.basis = whole("order", order, 0), choice("basis", basis, BASES)
        if self.order > HIGHEST[self.basis]:
            raise ConfigError(f"order must be from 0 to {HIGHEST[self.basis]} for basis '{basis}', got {order}")
        self.reach = number("reach", reach, 0)
        self.blend = number("blend", blend, 0)
        if self.blend > 1:
            raise ConfigError(f"blend must be from 0 to 1, got {blend}")
        self.against = choice("against", against, ("reuse", "linear"))
        self.horizon = None if horizon is None else number("horizon", horizon, 0)
        if self.horizon == 0:
            raise ConfigError("horizon must be more than 0, or null for none; order 0 reuses")
        self.clock = choice("clock", clock, ("time", "step"))
        self.ridge = number("ridge", ridge, 0)
        window = whole("points", points, 2)
        self.points = window if self.basis == "chebyshev" else max(self.order + 1, 1 + (self.against == "linear"))

    @classmethod
    def space(cls, steps: int) -> dict[str, tuple[object, ...]]:
        """Return what `fdplug optimize` tries (contract 1.1; an older fdplug does not ask)."""
        return {"order": (1, 2), "blend": (0.5, 0.75, 1.0), "horizon": (None, 0.1, 0.3), "reach": (1.0, 50.0)}

    def time(self, step: int) -> float:
        """Return a step's noise time, or its number as a share of the run."""
        if self.clock == "step" and self._schedule is not None:
            return step / self._schedule.num_steps
        return super().time(step)

    def weigh(self, points: Sequence[Point], step: int) -> Sequence[float]:
        """Return the weights of the key steps that are kept."""
        return self.weights([point.time for point in points], self.time(step))

    def weights(self, times: Sequence[float], time: float) -> list[float]:
        """Return the weight of every kept key step in the forecast of `time`.

        Args:
            times: of the key steps, the last one first.
            time: of the step that is forecast.
        """
        reuse = _unit(len(times), 0)
        if len(times) == 1:
            return reuse
        gap = abs(times[0] - times[1])
        ahead = max(-self.reach * gap, min(self.reach * gap, time - times[0]))
        share = self.blend * self._trust(max(gap, abs(ahead)))
        rest = _taylor(times, ahead, 1) if self.against == "linear" else reuse
        return [share * one + (1 - share) * other for one, other in zip(self._basis(times, ahead), rest, strict=True)]

    def _trust(self, distance: float) -> float:
        return 1.0 if self.horizon is None else min(1.0, max(0.0, 2 - 2 * distance / self.horizon))

    def _basis(self, times: Sequence[float], ahead: float) -> list[float]:
        if self.basis == "chebyshev":
            return _chebyshev(times, times[0] + ahead, self.order, self.ridge)
        return _taylor(times, ahead, self.order, hermite=self.basis == "hermite")


def _unit(length: int, place: int) -> list[float]:
    return [float(index == place) for index in range(length)]


def _taylor(times: Sequence[float], ahead: float, order: int, *, hermite: bool = False) -> list[float]:
    """Return the weights of a Taylor polynomial, or of the same differences in Hermite polynomials."""
    differences: list[list[float]] = []
    for place in reversed(range(len(times))):
        newer = [_unit(len(times), place)]
        for older in differences[:order]:
            distance = times[place] - times[place + 1]
            newer.append([(one - other) / distance for one, other in zip(newer[-1], older, strict=True)])
        differences = newer
    gap = times[0] - times[1]
    powers = [gap**j * _hermite(j, ahead / gap) if hermite else ahead**j for j in range(len(differences))]
    terms = [power / factorial(j) for j, power in enumerate(powers)]
    return [sum(term * row[place] for term, row in zip(terms, differences, strict=True)) for place in range(len(times))]


def _hermite(degree: int, x: float) -> float:
    """Return s^n H_n(s x), the physicists' polynomials scaled twice."""
    from numpy.polynomial.hermite import hermval

    return float(CONTRACTION**degree * hermval(CONTRACTION * x, _unit(degree + 1, degree)))


def _chebyshev(times: Sequence[float], time: float, order: int, ridge: float) -> list[float]:
    """Return the weights of a ridge regression on Chebyshev polynomials of at most as many terms as key steps."""
    import numpy as np
    from numpy.polynomial.chebyshev import chebvander

    degree = min(order, len(times) - 1)
    design = chebvander(2 * np.asarray(times) - 1, degree)
    wanted = chebvander(np.asarray([2 * time - 1]), degree)[0]
    normal = design.T @ design + ridge * np.eye(degree + 1)
    return np.linalg.solve(normal, wanted).dot(design.T).tolist()


@fdplug.hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the cache."""
    yield Forecast
