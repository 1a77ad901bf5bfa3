"""Samplers: registered names for diffusers schedulers, built from the pipeline's own scheduler config."""

from __future__ import annotations

from collections.abc import Iterator

from fdplug.hooks import hookimpl
from fdplug.samplers.base import Sampler, Spaced, predicted
from fdplug.samplers.flow import FlowDpmSolver, FlowEuler, FlowUniPc
from fdplug.samplers.solvers import (
    AlignYourSteps,
    Ddim,
    Ddpm,
    Deis,
    DpmSolver,
    DpmSolverPlusPlus,
    DpmSolverPlusPlusOne,
    Euler,
    Heun,
    Lcm,
    Own,
    Pndm,
    UniPc,
)

__all__ = ["Ddim", "Sampler", "Spaced", "predicted"]


@hookimpl
def fdplug_samplers() -> Iterator[type[Sampler]]:
    """Yield the built-in samplers."""
    yield Own
    yield from (Ddim, Ddpm, DpmSolver, DpmSolverPlusPlus, UniPc, Euler, Heun, Pndm, Lcm)
    yield from (DpmSolverPlusPlusOne, Deis, AlignYourSteps, FlowEuler, FlowDpmSolver, FlowUniPc)
