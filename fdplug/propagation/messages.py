"""What the engine says in warnings and errors, and how timesteps are written there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

NOT_INJECTED = "this loop takes steps without scheduler.step, so that no prior noise is injected into them"
ROWS_APART = "the rows of a batch are at different timesteps"
DECLARE = ", or declare it by fdplug.row_wise if it treats every row by itself"
MODULES_SKIPPED = (
    "this denoiser skips modules of its part at some steps only, so a span cannot be divided among processes; "
    "take decoding='parallel'"
)


def shown(timestep: Any) -> str:
    """Write a timestep, which may be a tensor of one value or of several equal ones."""
    return f"{float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep):g}"


def some(values: Iterable[float]) -> str:
    """Write the first few of many numbers."""
    listed = list(values)
    first = ", ".join(f"{value:g}" for value in listed[:5])
    return f"{first}, ..." if len(listed) > 5 else first


def nothing_changed(policy: str, wanted: int, steps: int) -> str:
    """Say why every step was computed: the policy wanted it, or what the denoiser was given was new each time."""
    if wanted < steps:
        why = (
            f"the denoiser was given something new at each of {steps} steps, so that nothing that was kept fits; "
            "keep prompts, options and batch the same for some steps"
        )
    else:
        why = f"policy '{policy}' made all {steps} steps key steps; take more steps or another policy"
    return f"propagation changed nothing: {why}"


def jumping(steps: Iterable[int]) -> str:
    """Say that a loop does not go from one step to the next."""
    return (
        f"propagation changed nothing: this loop went to steps {some(steps)} of the scheduler's, not from each to the "
        "next, so that every one was computed; set only the timesteps that the loop goes through"
    )


def never_called(network: nn.Module) -> str:
    """Say that a run goes by without its denoiser."""
    return (
        f"the scheduler takes steps, and the {type(network).__name__} that is propagated is not called: "
        "nothing is accelerated; call propagate() on the pipeline whose denoiser runs"
    )


def foreign_pipeline(caller: Any, network: nn.Module) -> str:
    """Say that another pipeline uses the denoiser."""
    return (
        f"a {type(caller).__name__} with a scheduler of its own uses the {type(network).__name__} of a propagated "
        "pipeline: its run is left as it is; call propagate() on it to accelerate that one"
    )


def foreign_call(component: str, timestep: Any, expected: float) -> str:
    """Say that a call does not belong to the run."""
    return (
        f"the {component} was called with timestep {shown(timestep)}, the run is at {expected:g}: "
        "this call is left as it is"
    )


def run_over(caller: Any) -> str:
    """Say that the timesteps that were set last have been gone through by another call of a pipeline."""
    return (
        f"this call of {type(caller).__name__} goes on after another has gone through the timesteps of its scheduler, "
        "as where one is made in the middle of the other: its steps are computed as they are"
    )


def no_timesteps(caller: Any) -> str:
    """Say that a pipeline does not use its scheduler."""
    return (
        f"this {type(caller).__name__} has not set the timesteps of its scheduler, so that its steps cannot be "
        "followed: they are computed as they are"
    )


def script(name: str) -> str:
    """Say that a module is not made of Python."""
    return (
        f"{name} was made by torch.jit, so that nobody can see what changes in it or which rows it reads: put the "
        "module back that it was made from, and compile it with torch.compile if it is to be fast"
    )


def no_sample(scheduler: Any) -> str:
    """Say that a step of a scheduler does not show its sample."""
    return (
        f"the step of this {type(scheduler).__name__} was called without a sample that could be told by its name or "
        "its place, the third, so that no noise can be injected: take injector='none'"
    )


def few_sigmas(scheduler: Any, count: int, step: int) -> str:
    """Say that a scheduler does not tell how noisy a sample is at every step."""
    return (
        f"this {type(scheduler).__name__} has {count} sigmas, none for step {step}, so that how noisy a sample is "
        "there is not known and no noise can be injected: take injector='none'"
    )


def gradient_wanted(network: nn.Module) -> str:
    """Say that a replayed step has no gradient."""
    return (
        f"the {type(network).__name__} is called for a gradient, as its sample or conditioning requires one, and a "
        "replayed step has none to give: run this pipeline without propagation, or a loop that needs no gradient under "
        "torch.no_grad()"
    )


def maps_stored(keeper: str, part: str) -> str:
    """Say that a pipeline reads what a replayed step does not compute."""
    return (
        f"{keeper}, inside part '{part}', stores something at every pass, such as attention maps that its pipeline "
        "reads, and a replayed step computes none; run this pipeline without propagation"
    )


def kept_by_another(keeper: str, network: str) -> str:
    """Say that another cache is switched on."""
    return (
        f"another cache is switched on ({keeper} of {network}): it too keeps features from step to step, and each "
        "would take the other's steps for its own; switch it off (disable_cache() of the denoiser for diffusers' own), "
        "or run this pipeline without propagation"
    )


def one_by_one(why: str) -> str:
    """Say that a span cannot be decoded in one batch."""
    return f"a span cannot be decoded in one batch: {why}; take decoding='auto' or 'serial'"


def rows_coupled(guidance: str, who: str) -> str:
    """Say that a guidance cannot leave rows out, because others might miss them."""
    return (
        f"guidance '{guidance}' leaves rows out of a batch whose rows see each other, or may do so in {who}: "
        "take guidance='full'"
    )


def rows_listed(network: Any, decoding: str) -> str:
    """Say that a decoding cannot divide the rows."""
    return (
        f"the rows of {type(network).__name__} come as a list, which decoding '{decoding}' cannot divide; "
        "take decoding='auto'"
    )


def uncounted(component: str, outside: int, prepared: Mapping[str, int], caller: Any) -> tuple[str, ...]:
    """Say what has run before a run begins and is not in its ledger.

    Args:
        component: the denoiser's name.
        outside: calls of it that belong to no run.
        prepared: calls of it in runs of other methods of the pipeline, by method.
        caller: the pipeline that is called now.
    """
    found = [f"{_calls(number, component)} in {method}(), a run of its own" for method, number in prepared.items()]
    if outside:
        found.append(f"{_calls(outside, component)} outside of a run, since the one before")
    if getattr(caller, "free_init_enabled", False):
        found.append("FreeInit's passes over the schedule but the last")
    return tuple(found)


def _calls(number: int, component: str) -> str:
    return f"{number} call{'s' if number > 1 else ''} of the {component}"
