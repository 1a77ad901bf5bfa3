"""A pipeline in a few steps as prior, and what its denoiser was given meanwhile."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fdplug_earlystop_priors import Counted, Ran

from fdplug import trees
from fdplug.errors import ConfigError, UnsupportedDenoiserError
from fdplug.patching import PatchStack, call_patches

if TYPE_CHECKING:
    from fdplug_earlystop_priors import Asked

    from fdplug.samplers import Sampler


class OfPipeline(Counted):
    """A pipeline's output in a few steps.

    Args:
        build: returns the pipeline.
        own: whether that is the accelerated pipeline itself, with another scheduler: it is called with the same
            prompts, guidance and noise then.
        steps: of the prior.
        sampler: of the prior; None: as the pipeline has it.
        size: height and width in pixels; None: those of the images.
        arguments: further arguments of the call.
    """

    said = "a pipeline's images"

    def __init__(
        self,
        build: Callable[[], Any],
        own: bool,
        steps: int,
        sampler: Sampler | None,
        size: int | None,
        arguments: Mapping[str, Any],
    ) -> None:
        self._build, self._own, self._steps = build, own, steps
        self._sampler, self._size, self._arguments = sampler, size, arguments

    def __call__(self, asked: Asked) -> Any:
        """Run the pipeline; of the own one in the images' size, latents are all that is needed."""
        pipe = self._build()
        if self._sampler is not None:
            pipe.scheduler = self._sampler.fit(pipe.scheduler)
        steps = {"num_inference_steps": self._steps} if self._sampler is None else self._sampler.arguments(self._steps)
        alike = self._own and self._size is None
        taken = inspect.signature(pipe.__call__).parameters
        given = {**self._words(asked, taken), **self._size_of(asked), **steps, **self._start(asked, alike)}
        given |= {"output_type": "latent" if alike else "pt", **self._arguments}
        unknown = sorted(set(given) - set(taken))
        if unknown:
            raise ConfigError(f"{type(pipe).__name__} takes no {', '.join(unknown)}, which the prior is called with")
        with counting(pipe) as self.passes:
            return pipe(**given)[0]

    def _words(self, asked: Asked, taken: Mapping[str, Any]) -> dict[str, Any]:
        if asked.prompts is None and not asked.encoding:
            raise ConfigError("a pipeline as prior needs prompts, and this pipeline encodes none; give a function")
        if not self._own:
            if asked.prompts is None:
                raise ConfigError("another pipeline as prior needs prompts: give prompt instead of prompt_embeds")
            return {"prompt": asked.prompts}
        given = {name: value for name, value in asked.encoding.items() if name in taken}
        return given if asked.guidance is None else {**given, "guidance_scale": asked.guidance}

    def _size_of(self, asked: Asked) -> dict[str, int]:
        height, width = (asked.height, asked.width) if self._size is None else (self._size, self._size)
        return {} if height is None or width is None else {"height": height, "width": width}

    def _start(self, asked: Asked, alike: bool) -> dict[str, Any]:
        """Return the same noise, or where its shape is another, generators seeded by it, image by image."""
        import torch

        if alike:
            return {"latents": asked.noise}
        seeds = [int(abs(float(row.double().sum())) * 2**20) for row in asked.noise]
        return {"generator": [torch.Generator(asked.noise.device).manual_seed(seed) for seed in seeds]}


def twin(pipe: Any, patched: tuple[str, ...]) -> Any:
    """Return a pipeline of the same networks with a scheduler of its own, and without our patches."""
    other = copy.copy(pipe)
    for name in patched:
        other.__dict__.pop(name, None)
    other.__dict__["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
    other.set_progress_bar_config(disable=True)
    return other


@contextmanager
def counting(pipe: Any) -> Iterator[list[Ran] | None]:
    """Note every pass of the pipeline's denoiser; None where no family knows it."""
    from fdplug.pipeline import find_family

    try:
        family, network = find_family(pipe)
    except UnsupportedDenoiserError:
        yield None
        return
    passes: list[Ran] = []
    signature = inspect.signature(network.forward)

    def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = dict(signature.bind(*args, **kwargs).arguments)
        passes.append(Ran(network, outlined(given, family.counted), len(given[family.sample])))
        return original(*args, **kwargs)

    patches = PatchStack()
    patches.apply(call_patches(network, around))
    try:
        yield passes
    finally:
        patches.remove()


def outlined(arguments: Mapping[str, Any], counted: Any) -> dict[str, Any]:
    """Return arguments with tensors that hold no values, but for those that decide what a pass costs."""
    return {
        name: trees.map_tensors(lambda one: one.detach().to("cpu", copy=True), value)
        if name in counted
        else trees.map_tensors(lambda one: one.detach().to("meta"), value)
        for name, value in arguments.items()
    }


def loaded(name: str, pipe: Any) -> Any:
    """Return another pipeline, on the device and in the precision of this one; safetensors only."""
    from diffusers import DiffusionPipeline

    try:
        other = DiffusionPipeline.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"prior {name!r} is no folder of images and no pipeline: {reason}") from error
    return other.to(pipe.device, pipe.dtype)


def built_in(given: Any) -> Sampler:
    """Return a built-in sampler by name, or the one that is given."""
    from fdplug.samplers import Sampler, fdplug_samplers

    if isinstance(given, Sampler):
        return given
    known = {one.name: one for one in fdplug_samplers()}
    name, options = next(iter(given.items())) if isinstance(given, Mapping) and len(given) == 1 else (given, {})
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"sampler must be one of {', '.join(sorted(known))}, or {{name: options}}; got {given!r:.60}")
    return known[name](**(options or {}))
