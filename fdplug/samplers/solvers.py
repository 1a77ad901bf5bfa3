"""The built-in samplers for models that predict noise, a velocity or the sample, and the pipeline's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from fdplug.checks import choice
from fdplug.errors import ConfigError
from fdplug.samplers.base import Sampler, Spaced
from fdplug.space import Space

TABLES = {"sd": "StableDiffusionTimesteps", "sdxl": "StableDiffusionXLTimesteps"}


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
        return self._shortened(type(scheduler).from_config(scheduler.config))


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


PLACED = {made.name: made for made in (DpmSolverPlusPlus, DpmSolverPlusPlusOne, Euler)}
"""Solvers that take timesteps of one's own."""


class AlignYourSteps(Sampler):
    """The timesteps of Align Your Steps (Sabour et al., arXiv 2404.14507), as diffusers ships them, for a solver.

    Other numbers of steps than the published ten are interpolated.

    Args:
        model: `sd` or `sdxl`.
        solver: `dpm-solver++`, `dpm-solver++1` or `euler`, the solvers that take timesteps of one's own.
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    name = "ays"
    scheduler = DpmSolverPlusPlus.scheduler
    steps = 10

    def __init__(self, model: str = "sd", solver: str = "dpm-solver++", leave_out: int = 0) -> None:
        super().__init__(leave_out)
        self.model = choice("model", model, tuple(TABLES))
        self.solver = choice("solver", solver, tuple(PLACED))

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try both tables with every solver."""
        return {"model": tuple(TABLES), "solver": tuple(PLACED)}

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the solver's scheduler."""
        return PLACED[self.solver]().build(config)

    def arguments(self, steps: int) -> dict[str, Any]:
        """Return the timesteps, noisiest first."""
        import numpy as np
        from diffusers.schedulers import AysSchedules

        table = AysSchedules[TABLES[self.model]]
        places = np.linspace(0, len(table) - 1, steps) if steps > 1 else [0]
        return {"timesteps": [round(float(value)) for value in np.interp(places, range(len(table)), table)]}
