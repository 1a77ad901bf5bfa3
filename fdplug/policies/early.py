"""Key steps that are dense early, by one exponent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdplug.checks import number, whole
from fdplug.errors import ConfigError
from fdplug.policies.base import KeyStepPolicy
from fdplug.schedule import Schedule
from fdplug.space import Space


class Early(KeyStepPolicy):
    """Key steps round(N (i / K)^p) for i = 0, ..., K - 1 of a run of N steps: the dense ones come first.

    Where rounding makes two of them fall together, the later one moves on.

    Args:
        count: the number K of key steps.
        power: the exponent p, at least 1; 1 spreads them evenly.
    """

    name = "early"

    def __init__(self, count: int, power: float = 1.25) -> None:
        self.count, self.power = whole("count", count, 1), number("power", power, 0)
        if self.power < 1:
            raise ConfigError(f"power must be at least 1 (evenly spread), got {power}")

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try as many key steps as the budget pays for, more or less dense at the beginning."""
        return {"count": range(1, steps), "power": (1.1, 1.25, 1.5)}

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the same share of the steps."""
        return {**options, "count": max(1, round(options["count"] * wanted / steps))}

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return `count` key steps, or every step of a shorter run."""
        length = schedule.end - schedule.start
        count = min(self.count, length)
        keys: list[int] = []
        for index in range(count):
            wanted = round(length * (index / count) ** self.power)
            least = keys[-1] + 1 if keys else 0
            keys.append(min(max(wanted, least), length - count + index))
        return frozenset(schedule.start + key for key in keys)
