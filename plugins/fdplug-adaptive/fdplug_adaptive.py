"""Adaptive key steps for fdplug: by how far the denoiser's input has drifted, or how much its course bends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import warn
from fdplug.policies import AdaptivePolicy, KeyStepPolicy, Schedule, Step

if TYPE_CHECKING:
    from torch import Tensor

FDPLUG_CONTRACT = "1.1"
log = logging.getLogger(__name__)


class Reporting(AdaptivePolicy):
    """What both policies share: steps at the beginning that are all computed, a longest span, and a report.

    Args:
        longest: most steps that may be replayed in a row; None: no limit.
        warm_up: so many steps at the beginning of a run are all computed.
    """

    threshold: float

    def __init__(self, longest: int | None, warm_up: int) -> None:
        self.longest = None if longest is None else whole("longest", longest, 1)
        self.warm_up = whole("warm_up", warm_up, 1)
        self.decisions: dict[int, bool] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the run before, but not its decisions: they are reported until the next run decides."""
        self._idle = 0
        self._end: int | None = None

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Name no step, and learn where the run ends."""
        keys = super().key_steps(schedule)
        self.decisions = {}
        self._end = schedule.end
        return keys

    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Compute a step in the beginning, at the end of the longest span, and where `decide` says so."""
        due = self.decide(sample)
        decision = due or len(self.decisions) < self.warm_up or self._idle == self.longest
        self.decisions[step.index] = decision
        self._idle = 0 if decision else self._idle + 1
        self.learn(sample, decision)
        if step.index + 1 == (self._end or step.num_steps):
            self._finish()
        return decision

    def decide(self, sample: Tensor) -> bool:
        """Say whether the sample, (B, C, H, W), asks for a computed step."""
        raise NotImplementedError

    def learn(self, sample: Tensor, decision: bool) -> None:
        """Keep of the sample what later decisions need."""
        raise NotImplementedError

    def measured(self) -> str:
        """Say what was measured in a run in which nothing was computed after the first steps."""
        raise NotImplementedError

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
        steps = len(self.decisions)
        if sum(self.decisions.values()) <= self.warm_up < steps:
            warn(
                f"policy '{self.name}' never fired: {self.measured()} in {steps} steps, "
                f"the threshold is {self.threshold:g}; nothing was computed after the first steps, lower it"
            )
        self.forget()

    def forget(self) -> None:
        """Free what is kept of samples."""
        raise NotImplementedError


class Adaptive(Reporting):
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
        super().__init__(longest, warm_up)

    def reset(self) -> None:
        """Forget the run before."""
        super().reset()
        self._last: Tensor | None = None
        self._drift = 0.0

    def decide(self, sample: Tensor) -> bool:
        """Add up the change and compare it with the threshold."""
        if self._last is None or self._last.shape != sample.shape:
            return True
        self._drift += float((sample - self._last).abs().mean() / self._last.abs().mean().clamp_min(1e-12))
        return self._drift > self.threshold

    def learn(self, sample: Tensor, decision: bool) -> None:
        """Keep the sample; a computed step begins anew."""
        self._last = sample.detach().clone()
        self._drift = 0.0 if decision else self._drift

    def measured(self) -> str:
        """Say how far the input has drifted."""
        return f"the input drifted by {self._drift:.3g}"

    def forget(self) -> None:
        """Free the sample."""
        self._last = None


class ThirdDifference(Reporting):
    """Key steps where the samples of the last steps do not lie on a smooth curve (AdaptiveDiffusion).

    A step is computed where |d3 x| >= threshold |d1 x| (2-norms over the whole batch), with the differences of the
    current sample and the three before it, d1 x = x_t - x_(t-1) and d3 x = x_t - 3 x_(t-1) + 3 x_(t-2) - x_(t-3);
    until there are four samples, every step is (arXiv 2410.09873, section 3.3). The method replays the whole
    prediction: with part `trunk` it is the paper's.

    Args:
        threshold: the paper's delta; larger is faster.
        longest: most steps that may be replayed in a row (the paper's C_max); None: no limit.
        warm_up: so many steps at the beginning of a run are all computed.
    """

    name = "third-difference"

    def __init__(self, threshold: float = 0.01, longest: int | None = 4, warm_up: int = 4) -> None:
        self.threshold = number("threshold", threshold, 0)
        super().__init__(longest, warm_up)

    def reset(self) -> None:
        """Forget the run before."""
        super().reset()
        self._samples: list[Tensor] = []
        self._least = float("inf")

    def decide(self, sample: Tensor) -> bool:
        """Compare the third difference with the first."""
        if len(self._samples) < 3 or self._samples[-1].shape != sample.shape:
            self._samples = [one for one in self._samples if one.shape == sample.shape]
            return True
        third, second, first = self._samples
        bend = (sample - 3 * first + 3 * second - third).float().norm()
        ratio = float(bend / (sample - first).float().norm().clamp_min(1e-12))
        self._least = min(self._least, ratio)
        return ratio >= self.threshold

    def learn(self, sample: Tensor, decision: bool) -> None:
        """Keep the last three samples."""
        self._samples = [*self._samples[-2:], sample.detach().clone()]

    def measured(self) -> str:
        """Say how smooth the curve was."""
        return f"the third difference fell to {self._least:.3g} of the first"

    def forget(self) -> None:
        """Free the samples."""
        self._samples = []


@fdplug.hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policies."""
    yield from (Adaptive, ThirdDifference)
