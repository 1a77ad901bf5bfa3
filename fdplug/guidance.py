"""Guidance: at which steps all rows of a guided batch run, and what stands for those that are left out.

Guided pipelines ask for several predictions a step: the conditional one, and one or two others that it is compared with
(`unconditional`, `perturbed`, ...). They are rows of one batch, or separate calls. At a *full* step all of them run; at
the other steps only the conditional one does, and a guidance makes up the rest. What it makes goes into the pipeline's
own formula, uncond + s (cond - uncond): where it is the conditional prediction itself, guidance is off.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from fdplug.checks import choice, number, whole
from fdplug.errors import ConfigError
from fdplug.hooks import hookimpl
from fdplug.schedule import Schedule, Step
from fdplug.space import Searchable, Space
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Adaptive", "AdaptiveGuidance", "Cached", "First", "Full", "Guidance", "Interval"]

DIFFERENCES = ("kept", "extrapolated")
AFTERWARDS = ("off", "affine")


class Guidance(Stackable, Searchable, ABC):
    """Chooses the full steps of a run before it begins, and makes the predictions that the others lack.

    Attributes:
        stepwise: whether the steps of a run must be decoded one at a time, because it decides as the run goes on.
    """

    name: ClassVar[str]
    stepwise: ClassVar[bool] = False
    provides: ClassVar[frozenset[str]] = frozenset({"rows-left-out"})

    def begin(self, schedule: Schedule) -> None:
        """Forget everything: a run with this schedule begins."""

    @abstractmethod
    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the steps at which all rows run, as indices from 0 to `schedule.num_steps - 1`."""

    def is_full_step(self, step: Step, chosen: frozenset[int]) -> bool:
        """Say whether all rows run at `step`; asked once a step, before anything of it is computed.

        Args:
            step: the step that is about to be taken.
            chosen: what `full_steps` returned as the run began.
        """
        return step.index in chosen

    def observe(self, step: Step, name: str, conditional: Tensor, other: Tensor) -> None:
        """Learn what was predicted at a full step; do not change it in place.

        Args:
            step: the full step.
            name: what `other` is: `unconditional`, `perturbed`, ...; called for each of them.
            conditional: the conditional prediction, (B, ...).
            other: the other prediction, (B, ...).
        """

    def predict(self, step: Step, name: str, conditional: Tensor) -> Tensor:
        """Return what stands for the prediction `name` of a step at which it did not run, (B, ...).

        The conditional prediction itself, which it is here, means: no guidance. Do not change it in place.
        """
        return conditional


class Full(Guidance):
    """All rows at every step: the pipeline's own guidance."""

    name = "full"
    provides = frozenset()

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return every step."""
        return frozenset(range(schedule.num_steps))


class Interval(Guidance):
    """Guidance in a limited interval of noise time only (Kynkaanniemi et al., arXiv 2404.07724).

    Args:
        low: noise time below which there is none, from 0 (clean) to 1 (pure noise).
        high: noise time above which there is none. The defaults are the paper's sigmas for SDXL, 0.28 to 5.42.
    """

    name = "interval"

    def __init__(self, low: float = 0.07, high: float = 0.81) -> None:
        self.low, self.high = number("low", low, 0, 1), number("high", high, 0, 1)
        if low >= high:
            raise ConfigError(f"low must be less than high, got low {low} and high {high}")

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try to leave guidance out early, late, or both."""
        return {"low": (0.07, 0.2), "high": (0.81, 1.0)}

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the steps inside the interval, its ends included."""
        steps = range(schedule.start, schedule.end)
        return frozenset(index for index in steps if self.low <= schedule.step(index).time <= self.high)


class First(Guidance):
    """Guidance in the first share of the steps, none afterwards.

    Args:
        share: share of the run's steps, rounded up to a whole step.
    """

    name = "first"

    def __init__(self, share: float = 0.5) -> None:
        self.share = number("share", share, 0, 1)

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try a half and more."""
        return {"share": (0.5, 0.75, 0.9)}

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the first steps."""
        count = math.ceil(round(self.share * (schedule.end - schedule.start), 6))
        return frozenset(range(schedule.start, schedule.start + count))


class Cached(Guidance):
    """All rows at every n-th step; in between, the difference between the predictions is that of full steps.

    The CFG cache of FasterCache (Lv et al., arXiv 2410.19355), without its weights for high and low frequencies.

    Args:
        every: how many steps apart full steps are.
        difference: `kept`: that of the last full step; `extrapolated`: on a line through the last two, in noise time.
    """

    name = "cached"

    def __init__(self, every: int = 2, difference: str = "kept") -> None:
        self.every = whole("every", every, 1)
        self.difference = choice("difference", difference, DIFFERENCES)
        self._seen: dict[str, list[tuple[float, Tensor]]] = {}

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try every second and third step."""
        return {"every": (2, 3), "difference": DIFFERENCES}

    def begin(self, schedule: Schedule) -> None:
        """Forget the differences."""
        self._seen = {}

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return every n-th step, the first of the run included."""
        return frozenset(range(schedule.start, schedule.end, self.every))

    def observe(self, step: Step, name: str, conditional: Tensor, other: Tensor) -> None:
        """Keep the difference, and the one before it."""
        self._seen[name] = [*self._seen.get(name, [])[-1:], (step.time, conditional - other)]

    def predict(self, step: Step, name: str, conditional: Tensor) -> Tensor:
        """Take the difference off the conditional prediction."""
        (first, before), (last, difference) = (self._seen[name] * 2)[:2]
        if self.difference == "extrapolated" and first != last:
            difference = difference + (difference - before) * ((step.time - last) / (last - first))
        return conditional - difference


class AdaptiveGuidance(Guidance):
    """Decides step by step whether all rows run, by what earlier full steps predicted."""

    stepwise = True

    def begin(self, schedule: Schedule) -> None:
        """Forget the run before."""
        self.reset()

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return no step: `is_full` decides."""
        return frozenset()

    def is_full_step(self, step: Step, chosen: frozenset[int]) -> bool:
        """Ask `is_full`."""
        return self.is_full(step)

    @abstractmethod
    def reset(self) -> None:
        """Forget everything: a new run begins."""

    @abstractmethod
    def is_full(self, step: Step) -> bool:
        """Say whether all rows run at `step`."""


class Adaptive(AdaptiveGuidance):
    """All rows until the predictions point the same way (Adaptive Guidance, Castillo et al., arXiv 2312.12487).

    Once the cosine between conditional and unconditional prediction exceeds the threshold, for every row of the batch,
    the rest of the run is conditional. An accelerator is waited for at every full step.

    Args:
        threshold: the cosine; the paper's 0.991.
        then: `off`: no guidance; `affine`: the paper's LinearAG, an affine combination of earlier predictions. Its
            weights are fitted to the full steps of the same run by least squares, where the paper fits them to others.
    """

    name = "adaptive"

    def __init__(self, threshold: float = 0.991, then: str = "off") -> None:
        self.threshold = number("threshold", threshold, -1, 1)
        self.then = choice("then", then, AFTERWARDS)
        self.reset()

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try the paper's threshold, and both ways to go on."""
        return {"threshold": (0.991,), "then": AFTERWARDS}

    def reset(self) -> None:
        """Forget what was predicted."""
        self._close: dict[str, bool] = {}
        self._fits: dict[str, _AffineFit] = {}

    def is_full(self, step: Step) -> bool:
        """Whether a prediction was still far from the conditional one at the last full step."""
        return not self._close or not all(self._close.values())

    def observe(self, step: Step, name: str, conditional: Tensor, other: Tensor) -> None:
        """Measure the cosine, for each row."""
        one, two = conditional.flatten(1).float(), other.flatten(1).float()
        cosines = (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1)).clamp_min(1e-12)
        self._close[name] = bool(cosines.min() > self.threshold)
        if self.then == "affine":
            self._fits.setdefault(name, _AffineFit()).add(step, conditional, conditional - other)

    def predict(self, step: Step, name: str, conditional: Tensor) -> Tensor:
        """Return the conditional prediction, less the difference that is expected."""
        return conditional - self._fits[name].expected(step, conditional) if self.then == "affine" else conditional


class _AffineFit:
    """The difference d(t) as a (c(t) - c(t-1)) + b d(t-1), with a and b by least squares, for each row by itself.

    With u = c - d that is an affine combination of c(t), c(t-1) and u(t-1).
    """

    def __init__(self) -> None:
        self._last: tuple[int, Tensor, Tensor] | None = None  # step, c, d
        self._products: list[Tensor] = []  # sums of xx, xy, yy, xd, yd over the steps so far

    def add(self, step: Step, conditional: Tensor, difference: Tensor) -> None:
        """Learn from a full step."""
        if self._last is not None:
            x, y, d = conditional - self._last[1], self._last[2], difference
            new = [_products(one, other) for one, other in ((x, x), (x, y), (y, y), (x, d), (y, d))]
            sums = self._products or [0 * one for one in new]
            self._products = [one + other for one, other in zip(sums, new, strict=True)]
        self._last = step.index, conditional, difference

    def expected(self, step: Step, conditional: Tensor) -> Tensor:
        """Return the difference that is expected at a step; the next one builds on it."""
        assert self._last is not None, "a step is left out only after a full one"
        index, before, difference = self._last
        if index != step.index:
            if self._products:
                a, b = (weight.reshape(-1, *[1] * (conditional.dim() - 1)) for weight in self._weights())
                difference = (a * (conditional - before) + b * difference).to(conditional.dtype)
            self._last = step.index, conditional, difference
        return difference

    def _weights(self) -> tuple[Tensor, Tensor]:
        xx, xy, yy, xd, yd = self._products
        ridge = 1e-6 * (xx + yy) + 1e-20
        xx, yy = xx + ridge, yy + ridge
        area = xx * yy - xy * xy
        return (xd * yy - yd * xy) / area, (yd * xx - xd * xy) / area


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Return the inner product of every row, (B,)."""
    return (one.flatten(1).double() * other.flatten(1).double()).sum(1)


@hookimpl
def fdplug_guidances() -> Iterator[type[Guidance]]:
    """Yield the built-in guidances."""
    yield from (Full, Interval, First, Cached, Adaptive)
