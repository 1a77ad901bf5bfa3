"""Key-step policies: at which steps the part is computed; at the others it is replayed.

Steps are indices into `scheduler.timesteps`, 0 being the noisiest; the paper counts down from T, so its step `t` is
`T - t` here. The step with which a run begins is always computed, whether or not a policy names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from fdplug.checks import choice, whole
from fdplug.errors import ConfigError
from fdplug.hooks import hookimpl
from fdplug.key_sets import PUBLISHED, nearest, rescale
from fdplug.schedule import Schedule, Step
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "AdaptivePolicy",
    "All",
    "BlockPolicy",
    "Explicit",
    "KeyStepPolicy",
    "Paper",
    "Schedule",
    "Step",
    "Uniform",
]


class KeyStepPolicy(Stackable, ABC):
    """Chooses the key steps of a run before it begins."""

    name: ClassVar[str]

    @abstractmethod
    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the key steps as indices from 0 to `schedule.num_steps - 1`."""

    def prepare(self, denoiser: nn.Module) -> None:
        """Look at the denoiser as propagation is switched on; raise `ConfigError` if the policy is not for it."""


class AdaptivePolicy(KeyStepPolicy):
    """Decides step by step, by what the denoiser is given; its spans are decoded one step at a time."""

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return no step: `is_key` decides. Called as a run begins."""
        self.reset()
        return frozenset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything: a new run begins."""

    @abstractmethod
    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Say whether `step` is a key step, given the denoiser's input `sample` (B, C, H, W)."""


class BlockPolicy(KeyStepPolicy):
    """Chooses key steps for every module of the part by itself; steps are decoded one at a time.

    Where nothing is kept that fits, as at the first step of a run, every module is computed.
    """

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return no step: `block_key_steps` decides."""
        return frozenset()

    @abstractmethod
    def block_key_steps(self, schedule: Schedule, modules: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Return the key steps of each of the part's modules; called as a run begins.

        Args:
            schedule: the steps of the run.
            modules: the modules whose output is kept; those chained before one of them go along with it.
        """


class All(KeyStepPolicy):
    """Every step is a key step: the pipeline as it is, bit for bit."""

    name = "all"

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return every step."""
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

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the listed steps."""
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

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the evenly spaced steps."""
        first, last = schedule.start, schedule.end
        if self.interval is not None:
            return frozenset(range(first, last, self.interval))
        count = min(self.count or 1, last - first)
        return frozenset(first + index * (last - first) // count for index in range(count))


class Paper(KeyStepPolicy):
    """The key steps that Faster Diffusion publishes, rescaled to the run's number of steps.

    A run of a published length takes that set as it is. Any other length n takes the set of the published length N
    whose ratio to n is nearest to 1 and moves each key k to floor(k * n / N): features are kept for the same share of
    the run. Keys that fall on one step become one. DiT's 166 keys, none further than 8 of 250 steps from the next, are
    90 in 100 steps and 49 in 50: take `uniform` or tuned key steps for short runs. Where every step becomes a key step,
    the run says so (`NoEffectWarning`).

    Args:
        system: whose sets: `sd` (20 and 50 steps; also ControlNet and video), `personalized` (50; Custom Diffusion,
            DreamBooth), `if-1` (100), `if-2` (50), `if-3` (75), `dit` (250).
    """

    name = "paper"

    def __init__(self, system: str = "sd") -> None:
        self.system = choice("system", system, tuple(PUBLISHED))

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the published set for the run's number of steps."""
        sets = PUBLISHED[self.system]
        length = nearest(tuple(sets), schedule.num_steps)
        return rescale(sets[length], length, schedule.num_steps)


class _TableFive(KeyStepPolicy):
    """One strategy of the paper's Table 5: a set for 50 steps, rescaled as in `paper`."""

    keys: ClassVar[tuple[int, ...]]

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the strategy's set for the run's number of steps."""
        return rescale(self.keys, 50, schedule.num_steps)


class UniformOne(_TableFive):
    """Table 5, Uniform I: 25 of 50 steps, every second one."""

    name = "uniform-i"
    keys = tuple(range(0, 50, 2))


class UniformTwo(_TableFive):
    """Table 5, Uniform II: 9 of 50 steps, every sixth one."""

    name = "uniform-ii"
    keys = tuple(range(0, 50, 6))


class UniformThree(_TableFive):
    """Table 5, Uniform III: 5 of 50 steps, every twelfth one."""

    name = "uniform-iii"
    keys = tuple(range(0, 50, 12))


class NonUniformOne(_TableFive):
    """Table 5, Non-uniform I: 9 of 50 steps, dense at the tenth."""

    name = "non-uniform-i"
    keys = (0, 10, 11, 12, 20, 25, 30, 35, 45)


class NonUniformTwo(_TableFive):
    """Table 5, Non-uniform II: 9 of 50 steps, late; the paper's worst."""

    name = "non-uniform-ii"
    keys = (0, 20, 25, 30, 35, 36, 45, 46, 47)


class NonUniformThree(_TableFive):
    """Table 5, Non-uniform III: 9 of 50 steps, in the middle."""

    name = "non-uniform-iii"
    keys = (0, 9, 13, 15, 28, 29, 32, 36, 45)


class NonUniformFour(_TableFive):
    """Table 5, Non-uniform IV, the paper's own choice: 9 of 50 steps, dense at the beginning."""

    name = "non-uniform-iv"
    keys = PUBLISHED["sd"][50]


@hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the built-in policies."""
    yield from (All, Explicit, Uniform, Paper)
    yield from (UniformOne, UniformTwo, UniformThree)
    yield from (NonUniformOne, NonUniformTwo, NonUniformThree, NonUniformFour)
