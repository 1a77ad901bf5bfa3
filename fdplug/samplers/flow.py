"""The built-in samplers for models that predict a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fdplug.checks import number
from fdplug.errors import ConfigError
from fdplug.samplers.base import Sampler
from fdplug.space import Space


class _Flow(Sampler):
    """A sampler of models that predict a flow."""

    flow = True

    def __init__(self, shift: float | None = None, leave_out: int = 0) -> None:
        super().__init__(leave_out)
        self.shift = None if shift is None else number("shift", shift, 0)
        if self.shift == 0:
            raise ConfigError("shift must be more than 0; 1 spreads noise levels evenly, more puts them early")

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try it."""
        return {}

    def _shift_of(self, config: Mapping[str, Any]) -> float:
        """Return the shift of noise levels: its own, or the pipeline's."""
        if self.shift is None:
            return config.get("shift", config.get("flow_shift", 1.0))
        if config.get("use_dynamic_shifting"):
            raise ConfigError(f"the model shifts noise levels by the image's size; leave out shift {self.shift:g}")
        return self.shift


class FlowEuler(_Flow):
    """Euler on the flow, as SD3 (arXiv 2403.03206) and Flux are published.

    Args:
        shift: of the noise levels; more takes more of the steps early. null: as the pipeline has it.
        karras: whether noise levels follow Karras et al. (2022).
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    name = "flow-euler"
    scheduler = "FlowMatchEulerDiscreteScheduler"
    steps = 28

    def __init__(self, shift: float | None = None, karras: bool = False, leave_out: int = 0) -> None:
        super().__init__(shift, leave_out)
        self.karras = karras

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the scheduler with its steps placed."""
        import diffusers

        changes: dict[str, Any] = {} if self.shift is None else {"shift": self._shift_of(config)}
        if self.karras:
            changes["use_karras_sigmas"] = True
        return getattr(diffusers, self.scheduler).from_config(config, **changes)


class _FlowSolver(_Flow):
    """A multistep solver told that the model predicts a flow."""

    steps = 20
    settings: ClassVar[Mapping[str, Any]] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the scheduler with its steps placed."""
        import diffusers

        shared = {key: config[key] for key in ("num_train_timesteps", "use_dynamic_shifting") if key in config}
        return getattr(diffusers, self.scheduler)(**shared, flow_shift=self._shift_of(config), **self.settings)


class FlowDpmSolver(_FlowSolver):
    """DPM-Solver++ (Lu et al., arXiv 2211.01095) on the flow, second order.

    Args:
        shift: of the noise levels; more takes more of the steps early. null: as the pipeline has it.
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    name = "flow-dpm++"
    scheduler = "DPMSolverMultistepScheduler"


class FlowUniPc(_FlowSolver):
    """UniPC (Zhao et al., arXiv 2302.04867) on the flow.

    Args:
        shift: of the noise levels; more takes more of the steps early. null: as the pipeline has it.
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    name = "flow-unipc"
    scheduler = "UniPCMultistepScheduler"
