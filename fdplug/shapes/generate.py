"""Generating pictures of captions with the `shapes` pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from fdplug.shapes import GUIDANCE, pipeline_folder

SAMPLERS = {"ddim": DDIMScheduler, "dpm-solver++": DPMSolverMultistepScheduler}


def load_pipeline(folder: Path | None = None, device: str = "cpu") -> Any:
    """Load the `StableDiffusionPipeline` in fp32, without any network and without its progress bar."""
    pipe: Any = StableDiffusionPipeline.from_pretrained(
        pipeline_folder() if folder is None else folder, safety_checker=None, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def use_sampler(pipe: Any, name: str) -> None:
    """Give `pipe` the sampler called `name`.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in SAMPLERS:
        raise ValueError(f"sampler {name!r} is unknown; choose one of {', '.join(SAMPLERS)}")
    pipe.scheduler = SAMPLERS[name].from_config(pipe.scheduler.config)


def generate(
    pipe: Any,
    captions: Sequence[str],
    *,
    seeds: Sequence[int],
    steps: int = 50,
    guidance: float = GUIDANCE,
    batch_size: int = 50,
    after_batch: Callable[[int], object] = lambda count: None,
) -> Tensor:
    """Pictures (N, 3, 64, 64) in [0, 1] of `captions`.

    Picture i starts from noise of its own generator, seeded by ``seeds[i]``, so it does not depend on the batch size.

    Args:
        pipe: a `shapes` pipeline.
        captions: one per picture.
        seeds: one per picture.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        batch_size: pictures per call of the pipeline.
        after_batch: called with the number of pictures done since the last call.

    Raises:
        ValueError: if there are not as many seeds as captions.
    """
    parts = []
    for start in range(0, len(captions), batch_size):
        batch = list(captions[start : start + batch_size])
        own = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch_size]]
        if len(own) != len(batch):
            raise ValueError(f"{len(captions)} captions but {len(seeds)} seeds")
        result = pipe(batch, num_inference_steps=steps, guidance_scale=guidance, generator=own, output_type="pt")
        parts.append(result.images.float().cpu())
        after_batch(len(batch))
    return torch.cat(parts)
