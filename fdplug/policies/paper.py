"""The policies of Faster Diffusion: its published key steps, and the strategies of its Table 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fdplug.checks import choice
from fdplug.policies.base import KeyStepPolicy
from fdplug.policies.published import PUBLISHED, nearest, rescale
from fdplug.schedule import Schedule
from fdplug.space import Space


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

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try the set that was published for Stable Diffusion."""
        return {}

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the options: the set fits itself to the run."""
        return options

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
    """The paper's Table 5, Uniform I: 25 of 50 steps, every second one."""

    name = "uniform-i"
    keys = tuple(range(0, 50, 2))


class UniformTwo(_TableFive):
    """The paper's Table 5, Uniform II: 9 of 50 steps, every sixth one."""

    name = "uniform-ii"
    keys = tuple(range(0, 50, 6))


class UniformThree(_TableFive):
    """The paper's Table 5, Uniform III: 5 of 50 steps, every twelfth one."""

    name = "uniform-iii"
    keys = tuple(range(0, 50, 12))


class NonUniformOne(_TableFive):
    """The paper's Table 5, Non-uniform I: 9 of 50 steps, dense at the tenth."""

    name = "non-uniform-i"
    keys = (0, 10, 11, 12, 20, 25, 30, 35, 45)


class NonUniformTwo(_TableFive):
    """The paper's Table 5, Non-uniform II: 9 of 50 steps, late; its worst."""

    name = "non-uniform-ii"
    keys = (0, 20, 25, 30, 35, 36, 45, 46, 47)


class NonUniformThree(_TableFive):
    """The paper's Table 5, Non-uniform III: 9 of 50 steps, in the middle."""

    name = "non-uniform-iii"
    keys = (0, 9, 13, 15, 28, 29, 32, 36, 45)


class NonUniformFour(_TableFive):
    """The paper's Table 5, Non-uniform IV, its own choice: 9 of 50 steps, dense at the beginning."""

    name = "non-uniform-iv"
    keys = PUBLISHED["sd"][50]
