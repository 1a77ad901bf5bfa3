"""Adaptive key steps for fdplug: a step is computed once the denoiser's input has drifted far enough."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import FdplugWarning
from fdplug.policies import AdaptivePolicy, KeyStepPolicy, Schedule, Step

if TYPE_CHECKING:
    from torch import Tensor

FDPLUG_CONTRACT = "1.0"
log = logging.getLogger(__name__)


class Adaptive(AdaptivePolicy):
    """Key steps where the accumulated change of the denoiser's input exceeds a threshold, as TeaCache decides.

    The change from one step to the next is |x_t - x_(t-1)| / |x_(t-1)|, both summed over the whole batch. TeaCache
    (arXiv 2411.19108) takes it of the modulated input and fits a polynomial; this takes the input itself, so that no
    model needs coefficients of its own.

    Args:
        threshold: change that may accumulate before a step is computed; larger is faster.
        longest: most steps that may be replayed in a row; None: no limit.
        warm_up: so many steps at the beginning of a run are all computed.
    """

    name = "adaptive"

    def __init__(self, threshold: float = 0.15, longest: int | None = None, warm_up: int = 1) -> None:
        self.threshold = number("threshold", threshold, 0)
        self.longest = None if longest is None else whole("longest", longest, 1)
        self.warm_up = whole("warm_up", warm_up, 1)
        self.decisions: dict[int, bool] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the run before, but not its decisions: they are reported until the next run decides."""
        self._last: Tensor | None = None
        self._drift = 0.0
        self._idle = 0
        self._end: int | None = None

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Name no step, and learn where the run ends."""
        keys = super().key_steps(schedule)
        self.decisions = {}
        self._end = schedule.end
        return keys

    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Add up the change and compare it with the threshold."""
        decision = self._decide(sample)
        self.decisions[step.index] = decision
        self._last = sample.detach().clone()
        self._drift, self._idle = (0.0, 0) if decision else (self._drift, self._idle + 1)
        if step.index + 1 == (self._end or step.num_steps):
            self._finish()
        return decision

    def _decide(self, sample: Tensor) -> bool:
        if self._last is None or self._last.shape != sample.shape:
            return True
        self._drift += float((sample - self._last).abs().mean() / self._last.abs().mean().clamp_min(1e-12))
        if len(self.decisions) < self.warm_up or self._idle == self.longest:
            return True
        return self._drift > self.threshold

    @property
    def hit_rate(self) -> float:
        """Share of the steps of the last run that were replayed."""
        return 1 - sum(self.decisions.values()) / len(self.decisions) if self.decisions else 0.0

    @property
    def report(self) -> str:
        """The last run in one line."""
        keys = [step for step, is_key in sorted(self.decisions.items()) if is_key]
        return f"{len(keys)} of {len(self.decisions)} steps computed, hit rate {self.hit_rate:.0%}: {keys}"

    def _finish(self) -> None:
        log.info("%s", self.report)
        self._last = None
        steps = len(self.decisions)
        if sum(self.decisions.values()) <= self.warm_up < steps:
            warnings.warn(
                f"policy 'adaptive' never fired: the input drifted by {self._drift:.3g} in {steps} steps, "
                f"the threshold is {self.threshold:g}; nothing was computed after the first steps, lower it",
                FdplugWarning,
                stacklevel=2,
            )


@fdplug.hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policy."""
    yield Adaptive
