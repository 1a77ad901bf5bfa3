"""Samplers: registered names for diffusers schedulers, built from the pipeline's own scheduler config."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from fdplug.hooks import hookimpl

__all__ = ["Sampler"]


class Sampler:
    """A named recipe for a diffusers scheduler.

    Attributes:
        scheduler: class name in `diffusers`.
        settings: config entries that make it what the name says; all others come from the pipeline.
        steps: default number of steps.
    """

    name: ClassVar[str]
    scheduler: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    steps: ClassVar[int] = 50

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return a fresh scheduler for a pipeline whose own scheduler has this `config`."""
        import diffusers

        return getattr(diffusers, self.scheduler).from_config(config, **self.settings)


class Ddim(Sampler):
    """DDIM (Song et al., 2020), deterministic."""

    name = "ddim"
    scheduler = "DDIMScheduler"


class Ddpm(Sampler):
    """DDPM ancestral sampling (Ho et al., 2020), with fresh noise at every step."""

    name = "ddpm"
    scheduler = "DDPMScheduler"


class DpmSolver(Sampler):
    """DPM-Solver (Lu et al., 2022), second-order multistep on the noise prediction."""

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


class DpmSolverPlusPlus(Sampler):
    """DPM-Solver++ (Lu et al., 2022), second-order multistep on the data prediction."""

    name = "dpm-solver++"
    scheduler = "DPMSolverMultistepScheduler"
    settings: ClassVar[Mapping[str, Any]] = {
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "final_sigmas_type": "zero",
    }
    steps = 20


class UniPc(Sampler):
    """UniPC predictor-corrector (Zhao et al., 2023)."""

    name = "unipc"
    scheduler = "UniPCMultistepScheduler"
    steps = 20


class Euler(Sampler):
    """Euler on sigmas (Karras et al., 2022)."""

    name = "euler"
    scheduler = "EulerDiscreteScheduler"
    steps = 30


class Heun(Sampler):
    """Heun, second order (Karras et al., 2022): two denoiser calls per step but the last."""

    name = "heun"
    scheduler = "HeunDiscreteScheduler"
    steps = 25


class Pndm(Sampler):
    """Pseudo linear multistep (Liu et al., 2022); 50 steps make 51 denoiser calls."""

    name = "pndm"
    scheduler = "PNDMScheduler"
    settings: ClassVar[Mapping[str, Any]] = {"skip_prk_steps": True}


class Lcm(Sampler):
    """Latent consistency sampling (Luo et al., 2023), for distilled models."""

    name = "lcm"
    scheduler = "LCMScheduler"
    steps = 4


@hookimpl
def fdplug_samplers() -> Iterator[type[Sampler]]:
    """Yield the built-in samplers."""
    yield from (Ddim, Ddpm, DpmSolver, DpmSolverPlusPlus, UniPc, Euler, Heun, Pndm, Lcm)
