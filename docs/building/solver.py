"""What a sampler does in a run of ten steps, asked of its own scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.building.catalogue import Plugin
from fdplug.propagation.solver import Solver, solver_of

STEPS = 10
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def solver(plugin: Plugin) -> Iterator[str]:
    """Yield what there is to know about a sampler: its scheduler, order, noise, default steps, and its timesteps.

    Of the pipeline's own, and of one whose timesteps stand in a file, there is nothing to know beforehand.
    """
    if plugin.kind != "sampler" or plugin.name in ("own", "tuned"):
        return
    sampler = plugin.cls()
    scheduler, whose = _fitted(sampler)
    found = solver_of(scheduler)
    times = ", ".join(f"{float(time):.4g}" for time in scheduler.timesteps)
    rows = [
        ("scheduler", f"`{sampler.scheduler}` of diffusers"),
        ("predictions", "each step combines several" if found.combines else "one a step"),
        ("fresh noise", "in its steps" if found.adds_noise else "none"),
        ("steps by default", f"{sampler.steps}"),
        ("part `trunk`", _trunk(found)),
        (f"timesteps of {STEPS} steps", f"{times} ({whose})"),
    ]
    yield "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _trunk(found: Solver) -> str:
    if found.adds_noise:
        return "refused: no replayed step would see the noise"
    return "gains nothing: a warning says so" if found.combines else "fits"


def _fitted(sampler: Any) -> tuple[Any, str]:
    """Return the scheduler with its timesteps set, and the noise schedule it was fitted to."""
    import diffusers

    if sampler.flow:
        own: Any = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
        whose = "a flow with shift 3"
    else:
        own = diffusers.DDIMScheduler(**NOISE)
        whose = "Stable Diffusion's noise schedule"
    scheduler = sampler.fit(own)
    given = sampler.arguments(STEPS)
    scheduler.set_timesteps(given.pop("num_inference_steps", None), **given)
    return scheduler, whose
