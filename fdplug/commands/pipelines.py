"""From the options of a model to the pipeline that they name."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from fdplug import registry
from fdplug.commands.options.shared import inline, read_settings
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.predict.data.captions import default_annotations
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import check_size, check_steps
from fdplug.predict.generation.loaded_stages import Stage, check_stages, load_stages
from fdplug.predict.generation.loading import check_model, load_pipeline, own_settings
from fdplug.predict.generation.loading_arguments import check_loading


def check_model_options(options: argparse.Namespace) -> GenerationConfig:
    """Check what `add_model_options` added, without loading anything; returns what decides the images.

    Where captions may be given and are not, they are the model's own, or those of `shapes`.
    """
    generation = read_settings(options, GenerationConfig)
    check_model(options.model)
    check_stages(generation.stages)
    check_loading(inline(options.loading))
    for name in ("annotations", "prompts"):
        if getattr(options, name, "") is None:
            setattr(options, name, default_annotations(options.model))
    return generation


def loading(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `load_pipeline`."""
    return {
        "device": device(options.device),
        "dtype": options.dtype,
        "allow_pickle": options.allow_pickle,
        "safety_checker": not options.no_safety_checker,
        "loading": check_loading(inline(options.loading)),
    }


def opened(
    options: argparse.Namespace, generation: GenerationConfig, needs_prompt: bool = True
) -> tuple[Any, GenerationConfig]:
    """Load the pipeline with its sampler; return it and what decides its images, defaults filled in."""
    pipe = load_pipeline(options.model, needs_prompt=needs_prompt, **loading(options))
    check_conditioning(pipe, [], generation.size, generation.arguments)
    check_size(pipe, generation.size)
    pipe.scheduler = registry.build("sampler", generation.sampler).fit(pipe.scheduler)
    check_steps(pipe.scheduler, generation.resolved_steps)
    return pipe, generation.resolved(**own_settings(options.model))


def stages(options: argparse.Namespace, pipe: Any, generation: GenerationConfig) -> tuple[Stage, ...]:
    """Load the pipelines that go on with what `pipe` makes, as `--then` names them."""
    return load_stages(pipe, generation.stages, **loading(options))


def device(name: str) -> Any:
    """The torch device behind `--device`.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"no device {shown(name)} here: {reason}; take cpu, cuda or mps") from error
    return found
