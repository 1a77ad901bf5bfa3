"""What every key-step policy keeps to: which steps of a run are computed, the others being replayed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.schedule import Schedule, Step
from fdplug.space import Searchable
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor, nn


class KeyStepPolicy(Stackable, Searchable, ABC):
    """Chooses the key steps of a run before it begins.

    Attributes:
        stepwise: whether the steps of a run must be decoded one at a time, because it decides as the run goes on or for
            every module by itself. Contract 1.1.
        replays: whether any step can be a replayed one. Contract 1.1.
        probes: whether it decides in the middle of a call of the denoiser, by what the part's probe adds to its own
            input, instead of before the call by the sample; its steps are decoded one at a time. Contract 1.1.
    """

    name: ClassVar[str]
    stepwise: ClassVar[bool] = False
    replays: ClassVar[bool] = True
    probes: ClassVar[bool] = False

    @abstractmethod
    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the key steps as indices from 0 to `schedule.num_steps - 1`."""

    def module_key_steps(self, schedule: Schedule, modules: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Return the key steps of modules that have their own; called as a run begins. Contract 1.1.

        Args:
            schedule: the steps of the run.
            modules: the modules whose output is kept; those chained before one of them go along with it.
        """
        return {}

    def is_key_step(self, step: Step, sample: Tensor, chosen: frozenset[int]) -> bool:
        """Say whether `step` is a key step; asked once a step. Contract 1.1.

        Args:
            step: the step that is about to be computed or replayed.
            sample: what the denoiser is given, (B, C, H, W); if the policy `probes`, what the probe adds to its input,
                in the probe's own shape, such as (B, tokens, width).
            chosen: what `key_steps` returned as the run began.
        """
        return step.index in chosen

    def observe(self, step: Step, sample: Tensor, prediction: Tensor) -> None:
        """Learn what a computed step predicted: of its first call, where guidance comes by separate ones. Contract 1.1.

        Args:
            step: the step, at which the part was computed.
            sample: what the denoiser was given, (B, C, H, W).
            prediction: what it answered, (B, C', H, W); keep a copy, not the tensor.
        """

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the options that mean the same in a run of `wanted` steps; None, as here: there are none.

        Presets ask for it, which are made for one number of steps. Contract 1.1.

        Args:
            options: for a run of `steps` steps.
            steps: of that run.
            wanted: of the other one.
        """
        return None

    def prepare(self, denoiser: nn.Module) -> None:
        """Look at the denoiser as propagation is switched on; raise `ConfigError` if the policy is not for it."""


class AdaptivePolicy(KeyStepPolicy):
    """Decides step by step, by what the denoiser is given; its spans are decoded one step at a time."""

    stepwise = True

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return no step: `is_key` decides. Called as a run begins."""
        self.reset()
        return frozenset()

    def is_key_step(self, step: Step, sample: Tensor, chosen: frozenset[int]) -> bool:
        """Ask `is_key`."""
        return self.is_key(step, sample)

    @abstractmethod
    def reset(self) -> None:
        """Forget everything: a new run begins."""

    @abstractmethod
    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Say whether `step` is a key step, given the denoiser's input `sample` (B, C, H, W).

        A policy that `probes` is given what the part's probe adds to its input, instead.
        """


class BlockPolicy(KeyStepPolicy):
    """Chooses key steps for every module of the part by itself; steps are decoded one at a time.

    Where nothing is kept that fits, as at the first step of a run, every module is computed.
    """

    stepwise = True

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return no step: `block_key_steps` decides."""
        return frozenset()

    def module_key_steps(self, schedule: Schedule, modules: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Ask `block_key_steps`."""
        return self.block_key_steps(schedule, modules)

    @abstractmethod
    def block_key_steps(self, schedule: Schedule, modules: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Return the key steps of each of the part's modules; called as a run begins.

        Args:
            schedule: the steps of the run.
            modules: the modules whose output is kept; those chained before one of them go along with it.
        """
