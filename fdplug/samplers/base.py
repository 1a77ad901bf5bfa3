"""What a sampler is: a registered name for a diffusers scheduler, built from the pipeline's own scheduler config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from fdplug.checks import choice, whole
from fdplug.errors import ConfigError
from fdplug.samplers.shortened import leave_out
from fdplug.space import Searchable, Space

SPACINGS = ("leading", "trailing", "linspace")


class Sampler(Searchable):
    """A named recipe for a diffusers scheduler.

    Args:
        leave_out: how many steps at the end are not taken: the last one that is taken goes where the last of all would
            have gone. A sampler with an `__init__` of its own has the option if it hands it on.

    Attributes:
        scheduler: class name in `diffusers`.
        settings: config entries that make it what the name says; all others come from the pipeline.
        steps: default number of steps.
        flow: whether it is for models that predict a flow (SD3, Flux), and for no others.
    """

    name: ClassVar[str]
    scheduler: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    steps: ClassVar[int] = 50
    flow: ClassVar[bool] = False
    leave_out: int = 0

    def __init__(self, leave_out: int = 0) -> None:
        self.leave_out = whole("leave_out", leave_out, 0)

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return a fresh scheduler for a pipeline whose own scheduler has this `config`."""
        import diffusers

        return getattr(diffusers, self.scheduler).from_config(config, **self.settings)

    def fit(self, scheduler: Any) -> Any:
        """Return a fresh scheduler in place of a pipeline's own one.

        Raises:
            ConfigError: the model predicts something that this sampler does not understand, or the scheduler cannot
                leave out steps.
        """
        self._check(predicted(scheduler))
        return self._shortened(self.build(scheduler.config))

    def arguments(self, steps: int) -> dict[str, Any]:
        """Return what the pipeline is called with for so many steps: their number, or their timesteps or sigmas."""
        return {"num_inference_steps": steps}

    def _shortened(self, scheduler: Any) -> Any:
        """Return a scheduler with its last steps left out, if they are to be."""
        if self.leave_out:
            leave_out(scheduler, self.leave_out)
        return scheduler

    def _check(self, prediction: str) -> None:
        takes_flow = self.flow or self.scheduler.startswith("FlowMatch")
        if takes_flow != (prediction == "flow"):
            use = "own, flow-euler, flow-dpm++ or flow-unipc" if prediction == "flow" else "own, ddim or dpm-solver++"
            raise ConfigError(f"sampler '{self.name}' is not for a model that predicts {prediction}; take {use}")


def predicted(scheduler: Any) -> str:
    """Return what the model behind a scheduler predicts: `epsilon`, `v_prediction`, `sample` or `flow`."""
    config = scheduler.config
    kind = config.get("prediction_type", "epsilon")
    flows = type(scheduler).__name__.startswith("FlowMatch") or config.get("use_flow_sigmas")
    return "flow" if flows or kind == "flow_prediction" else kind


class Spaced(Sampler):
    """A sampler whose steps can be placed.

    Args:
        spacing: where timesteps lie: `leading`, `trailing` or `linspace`; null: as the pipeline has it.
        karras: whether noise levels follow Karras et al. (2022), where the scheduler knows them.
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    def __init__(self, spacing: str | None = None, karras: bool = False, leave_out: int = 0) -> None:
        super().__init__(leave_out)
        self.spacing = None if spacing is None else choice("spacing", spacing, SPACINGS)
        self.karras = karras

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try every place that its steps can have."""
        import diffusers

        taken = inspect.signature(getattr(diffusers, cls.scheduler).__init__).parameters
        spacings = (None, *SPACINGS) if "timestep_spacing" in taken else (None,)
        return {"spacing": spacings, "karras": (False, True) if "use_karras_sigmas" in taken else (False,)}

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the scheduler with its steps placed."""
        import diffusers

        made: Any = getattr(diffusers, self.scheduler)
        changes: dict[str, Any] = {} if self.spacing is None else {"timestep_spacing": self.spacing}
        if self.karras:
            taken = inspect.signature(made.__init__).parameters
            if "use_karras_sigmas" not in taken:
                raise ConfigError(f"sampler '{self.name}' takes no Karras noise levels; leave out karras")
            changes["use_karras_sigmas"] = True
        return made.from_config(config, **self.settings, **changes)
