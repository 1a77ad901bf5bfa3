"""Samplers: registered names for diffusers schedulers, built from the pipeline's own scheduler config."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from fdplug.checks import choice, number
from fdplug.errors import ConfigError
from fdplug.hooks import hookimpl
from fdplug.space import Searchable, Space

__all__ = ["Sampler", "Spaced", "predicted"]

SPACINGS = ("leading", "trailing", "linspace")
TABLES = {"sd": "StableDiffusionTimesteps", "sdxl": "StableDiffusionXLTimesteps"}


class Sampler(Searchable):
    """A named recipe for a diffusers scheduler.

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

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return a fresh scheduler for a pipeline whose own scheduler has this `config`."""
        import diffusers

        return getattr(diffusers, self.scheduler).from_config(config, **self.settings)

    def fit(self, scheduler: Any) -> Any:
        """Return a fresh scheduler in place of a pipeline's own one.

        Raises:
            ConfigError: the model predicts something that this sampler does not understand.
        """
        self._check(predicted(scheduler))
        return self.build(scheduler.config)

    def arguments(self, steps: int) -> dict[str, Any]:
        """Return what the pipeline is called with for so many steps: their number, or their timesteps or sigmas."""
        return {"num_inference_steps": steps}

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
    """

    def __init__(self, spacing: str | None = None, karras: bool = False) -> None:
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


class Own(Sampler):
    """The pipeline's own scheduler, as it is."""

    name = "own"
    scheduler = "SchedulerMixin"

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try it."""
        return {}

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return a scheduler of the class that a saved config names."""
        import diffusers

        if "_class_name" not in config:
            raise ConfigError("this config does not name its class; call fit(pipe.scheduler) instead of build")
        return getattr(diffusers, config["_class_name"]).from_config(config)

    def fit(self, scheduler: Any) -> Any:
        """Return another scheduler just like it."""
        return type(scheduler).from_config(scheduler.config)


class Ddim(Spaced):
    """DDIM (Song et al., arXiv 2010.02502), deterministic."""

    name = "ddim"
    scheduler = "DDIMScheduler"


class Ddpm(Spaced):
    """DDPM ancestral sampling (Ho et al., arXiv 2006.11239), with fresh noise at every step."""

    name = "ddpm"
    scheduler = "DDPMScheduler"

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Leave it out: with fresh noise no image is near the reference."""
        return None


class DpmSolver(Spaced):
    """DPM-Solver (Lu et al., arXiv 2206.00927), second-order multistep on the noise prediction."""

    name = "dpm-solver"
    scheduler = "DPMSolverMultistepScheduler"
    settings: ClassVar[Mapping[str, Any]] = {
        "algorithm_type": "dpmsolver",
        "solver_order": 2,
        "final_sigmas_type": "sigma_min",
    }
    steps = 20

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the scheduler. diffusers advises against this older solver by a warning; the paper measures it."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*dpmsolver.*", category=FutureWarning)
            return super().build(config)


class DpmSolverPlusPlus(Spaced):
    """DPM-Solver++ (Lu et al., arXiv 2211.01095), second-order multistep on the data prediction."""

    name = "dpm-solver++"
    scheduler = "DPMSolverMultistepScheduler"
    settings: ClassVar[Mapping[str, Any]] = {
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "final_sigmas_type": "zero",
    }
    steps = 20


class UniPc(Spaced):
    """UniPC predictor-corrector (Zhao et al., arXiv 2302.04867)."""

    name = "unipc"
    scheduler = "UniPCMultistepScheduler"
    steps = 20


class Euler(Spaced):
    """Euler on sigmas (Karras et al., arXiv 2206.00364)."""

    name = "euler"
    scheduler = "EulerDiscreteScheduler"
    steps = 30


class Heun(Spaced):
    """Heun, second order (Karras et al., arXiv 2206.00364): two denoiser calls per step but the last."""

    name = "heun"
    scheduler = "HeunDiscreteScheduler"
    steps = 25


class Pndm(Spaced):
    """Pseudo linear multistep (Liu et al., arXiv 2202.09778); 50 steps make 51 denoiser calls."""

    name = "pndm"
    scheduler = "PNDMScheduler"
    settings: ClassVar[Mapping[str, Any]] = {"skip_prk_steps": True}


class Lcm(Spaced):
    """Latent consistency sampling (Luo et al., arXiv 2310.04378), for distilled models."""

    name = "lcm"
    scheduler = "LCMScheduler"
    steps = 4

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Leave it out: it is for distilled models."""
        return None


class DpmSolverPlusPlusOne(Spaced):
    """DPM-Solver++ of first order (Lu et al., arXiv 2211.01095): DDIM on the data prediction."""

    name = "dpm-solver++1"
    scheduler = "DPMSolverMultistepScheduler"
    settings: ClassVar[Mapping[str, Any]] = {
        "algorithm_type": "dpmsolver++",
        "solver_order": 1,
        "final_sigmas_type": "zero",
    }
    steps = 20


class Deis(Spaced):
    """DEIS (Zhang and Chen, arXiv 2204.13902), second-order multistep."""

    name = "deis"
    scheduler = "DEISMultistepScheduler"
    steps = 20


class AlignYourSteps(Sampler):
    """DPM-Solver++ with the timesteps of Align Your Steps (Sabour et al., arXiv 2404.14507), as diffusers ships them.

    Other numbers of steps than the published ten are interpolated.

    Args:
        model: `sd` or `sdxl`.
    """

    name = "ays"
    scheduler = "DPMSolverMultistepScheduler"
    settings = DpmSolverPlusPlus.settings
    steps = 10

    def __init__(self, model: str = "sd") -> None:
        self.model = choice("model", model, tuple(TABLES))

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try both tables."""
        return {"model": tuple(TABLES)}

    def arguments(self, steps: int) -> dict[str, Any]:
        """Return the timesteps, noisiest first."""
        import numpy as np
        from diffusers.schedulers import AysSchedules

        table = AysSchedules[TABLES[self.model]]
        places = np.linspace(0, len(table) - 1, steps) if steps > 1 else [0]
        return {"timesteps": [round(float(value)) for value in np.interp(places, range(len(table)), table)]}


class _Flow(Sampler):
    """A sampler of models that predict a flow."""

    flow = True

    def __init__(self, shift: float | None = None) -> None:
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
    """

    name = "flow-euler"
    scheduler = "FlowMatchEulerDiscreteScheduler"
    steps = 28

    def __init__(self, shift: float | None = None, karras: bool = False) -> None:
        super().__init__(shift)
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
    """

    name = "flow-dpm++"
    scheduler = "DPMSolverMultistepScheduler"


class FlowUniPc(_FlowSolver):
    """UniPC (Zhao et al., arXiv 2302.04867) on the flow.

    Args:
        shift: of the noise levels; more takes more of the steps early. null: as the pipeline has it.
    """

    name = "flow-unipc"
    scheduler = "UniPCMultistepScheduler"


@hookimpl
def fdplug_samplers() -> Iterator[type[Sampler]]:
    """Yield the built-in samplers."""
    yield Own
    yield from (Ddim, Ddpm, DpmSolver, DpmSolverPlusPlus, UniPc, Euler, Heun, Pndm, Lcm)
    yield from (DpmSolverPlusPlusOne, Deis, AlignYourSteps, FlowEuler, FlowDpmSolver, FlowUniPc)
