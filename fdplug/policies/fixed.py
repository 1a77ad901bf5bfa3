"""Policies that need no model and no paper: every step, the steps listed, evenly spread ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fdplug.checks import whole
from fdplug.errors import ConfigError
from fdplug.policies.base import KeyStepPolicy
from fdplug.policies.published import rescale
from fdplug.schedule import Schedule
from fdplug.space import Space


class All(KeyStepPolicy):
    """Every step is a key step: the pipeline as it is, bit for bit."""

    name = "all"
    replays = False

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the options: every step is every step."""
        return options

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        return frozenset(range(schedule.num_steps))


class Explicit(KeyStepPolicy):
    """The key steps that are listed, as indices into the scheduler's timesteps.

    Args:
        steps: indices from 0 (the noisiest step).
    """

    name = "explicit"

    def __init__(self, steps: Iterable[int]) -> None:
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            raise ConfigError(f"steps must be a list of whole numbers, got {steps!r}")
        self.steps = frozenset(whole("a key step", step, 0) for step in steps)
        if not self.steps:
            raise ConfigError("steps is empty; list at least one key step, such as [0]")

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return key steps at the same places of the run; those that fall together become one."""
        return {"steps": sorted(rescale(options["steps"], steps, wanted))}

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        return self.steps


class Uniform(KeyStepPolicy):
    """Every `interval`-th step from the first one that is run, or `count` steps spread evenly.

    Args:
        interval: distance between key steps; 1 computes every step.
        count: number of key steps, instead of an interval.
    """

    name = "uniform"

    def __init__(self, interval: int | None = None, count: int | None = None) -> None:
        if (interval is None) == (count is None):
            raise ConfigError(f"give either interval or count, got interval={interval} and count={count}")
        self.interval = None if interval is None else whole("interval", interval, 1)
        self.count = None if count is None else whole("count", count, 1)

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try as many key steps as the budget pays for."""
        return {"count": range(1, steps)}

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the same interval, or the same share of the steps."""
        count = options.get("count")
        return options if count is None else {"count": max(1, round(count * wanted / steps))}

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        first, last = schedule.start, schedule.end
        if self.interval is not None:
            return frozenset(range(first, last, self.interval))
        count = min(self.count or 1, last - first)
        return frozenset(first + index * (last - first) // count for index in range(count))
