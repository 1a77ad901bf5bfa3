"""What a pipeline generates from while it is watched: captions, classes, or nothing in particular."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from fdplug.lookup import find_family
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.predict.data.seeds import generators
from fdplug.predict.generation.conditioning import conditioning
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import check_timesteps

STRIDE = 387  # without a common divisor with ImageNet's 1,000 classes: neighbours in number are far apart, and all come


def kind(pipe: Any) -> str:
    """Return the argument that says what to generate: `prompt`, `class_labels` (DiT), `batch_size` (unconditional)."""
    parameters = inspect.signature(pipe.__call__).parameters
    return next((name for name in ("prompt", "class_labels") if name in parameters), "batch_size")


def subjects(pipe: Any, annotations: str, count: int) -> list[Caption]:
    """Return what to generate images of, `count` of it: captions of a file, classes far apart, or nothing but ids."""
    match kind(pipe):
        case "prompt":
            return read_captions(annotations, count)
        case "class_labels":
            classes = find_family(pipe)[1].config.num_embeds_ada_norm
            return [Caption(index, "", label=index * STRIDE % classes) for index in range(count)]
    return [Caption(index, "") for index in range(count)]


def generate(pipe: Any, batch: Sequence[Caption], generation: GenerationConfig) -> None:
    """Call the pipeline on a batch; nothing is decoded where it can be helped."""
    what = kind(pipe)
    given = {"batch_size": len(batch)} if what == "batch_size" else conditioning(pipe, batch)
    accepted = inspect.signature(pipe.__call__).parameters
    check_timesteps(pipe, generation.call_options())
    options = {name: value for name, value in generation.call_options().items() if name in accepted}
    options["output_type"] = "latent" if what == "prompt" else "np"
    with torch.no_grad():
        pipe(generator=generators(one.noise_seed(generation.seed) for one in batch), **given, **options)
