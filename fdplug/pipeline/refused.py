"""Pipelines that cannot be propagated, with the reason."""

from __future__ import annotations

from typing import Any

from fdplug.errors import PipelineError

# Pipelines that need what a replayed step does not compute, or that a run cannot be followed on.
REFUSED = {
    "StableDiffusionSAGPipeline": "self-attention guidance reads the middle block's attention map at every step, and a "
    "replayed step computes none",
    "StableDiffusionAttendAndExcitePipeline": "its gradient goes through the encoder's attention maps at every step, "
    "and a replayed step computes none",
    "StableDiffusionPanoramaPipeline": "it swaps a scheduler state for each view within every step, so that "
    "no step can be told from the next",
}


def check_pipeline(pipe: Any) -> None:
    """Refuse what no run can be followed on.

    Raises:
        PipelineError: the scheduler takes no steps, or the pipeline needs what a replayed step does not compute.
    """
    reason = next((REFUSED[one.__name__] for one in type(pipe).__mro__ if one.__name__ in REFUSED), None)
    if reason is not None:
        raise PipelineError(f"cannot accelerate {type(pipe).__name__}: {reason}")
    scheduler = getattr(pipe, "scheduler", None)
    for method in ("set_timesteps", "step"):
        if scheduler is not None and not callable(getattr(scheduler, method, None)):
            raise PipelineError(
                f"cannot accelerate {type(pipe).__name__}: its {type(scheduler).__name__} has no method '{method}', by "
                "which a run is followed; give it a scheduler that has"
            )
    if scheduler is not None and not hasattr(scheduler, "config"):
        raise PipelineError(
            f"cannot accelerate {type(pipe).__name__}: its {type(scheduler).__name__} has no 'config', which says how "
            "many timesteps the model was trained on; derive it from diffusers' SchedulerMixin and ConfigMixin"
        )
