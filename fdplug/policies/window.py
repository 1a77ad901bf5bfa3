"""Key steps at growing distances, as in Spectrum."""

from __future__ import annotations

from fdplug.checks import number, whole
from fdplug.errors import ConfigError
from fdplug.policies.base import KeyStepPolicy
from fdplug.schedule import Schedule


class Window(KeyStepPolicy):
    """Every step of a warm-up, then key steps at distances that grow from one to the next (Spectrum, 2603.01623).

    The distance is floor(window), and `window` grows by `growth` with every key step behind the warm-up.

    Args:
        warmup: how many steps are computed first.
        window: the first distance.
        growth: what each key step adds to it.
        tail: how many steps are computed at the end.
    """

    name = "window"

    def __init__(self, warmup: int = 5, window: float = 2.0, growth: float = 0.75, tail: int = 0) -> None:
        self.warmup, self.tail = whole("warmup", warmup, 1), whole("tail", tail, 0)
        self.window, self.growth = number("window", window, 0), number("growth", growth, 0)
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 (every step is a key step), got {window}")

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the steps of warm-up and tail, and those at growing distances between them."""
        first, end = schedule.start, schedule.end
        keys = set(range(first, min(first + self.warmup, end))) | set(range(max(first, end - self.tail), end))
        step, window = first + self.warmup - 1, self.window
        while (step := step + int(window)) < end - self.tail:
            keys.add(step)
            window += self.growth
        return frozenset(keys)
