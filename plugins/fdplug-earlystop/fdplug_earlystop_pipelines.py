"""A pipeline in a few steps as prior, and what its denoiser was given meanwhile."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from fdplug_earlystop_priors import Counted, Ran

from fdplug import trees
from fdplug.errors import ConfigError, PropagationError, UnsupportedDenoiserError
from fdplug.patching import Patch, PatchStack, call_patches

if TYPE_CHECKING:
    from fdplug_earlystop_priors import Asked
    from torch import Tensor

    from fdplug.samplers import Sampler


APART = {"generator", "latents", "num_inference_steps", "timesteps", "sigmas", "output_type", "return_dict"}
APART |= {"callback", "callback_steps", "callback_on_step_end", "callback_on_step_end_tensor_inputs"}
APART |= {"denoising_start", "denoising_end", "self"}
"""What a prior of the pipeline itself is not called with: its steps, noise and end are its own."""


GIVEN = {"image", "timestep", "timesteps", "video", "init_image"}
"""Arguments of `prepare_latents` by which a pipeline begins with a picture already."""


class OfPipeline(Counted):
    """A pipeline's output in a few steps.

    Args:
        build: returns the pipeline.
        own: whether that is the accelerated pipeline itself, with another scheduler: it is called with the same
            arguments and noise then.
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
        """Run the pipeline; of the own one in the images' size, the samples of its own loop are all that is needed."""
        pipe = self._build()
        if self._sampler is not None:
            pipe.scheduler = self._sampler.fit(pipe.scheduler)
        steps = {"num_inference_steps": self._steps} if self._sampler is None else self._sampler.arguments(self._steps)
        alike = self._own and self._size is None
        taken = inspect.signature(pipe.__call__).parameters
        given = {**self._call(asked, taken), **self._size_of(asked), "generator": _generators(asked.noise), **steps}
        given |= {"output_type": "latent" if alike else "pt", **self._arguments}
        unknown = sorted(set(given) - set(taken) - {"output_type"})
        if unknown:
            raise ConfigError(f"{type(pipe).__name__} takes no {', '.join(unknown)}, which the prior is called with")
        given = {name: value for name, value in given.items() if name in taken}
        with counting(pipe) as self.passes:
            return _last_sample(pipe, given, asked.noise) if alike else pipe(**given)[0]

    def _call(self, asked: Asked, taken: Mapping[str, Any]) -> dict[str, Any]:
        if self._own:
            return {name: value for name, value in asked.call.items() if name in taken and name not in APART}
        if asked.prompts is None:
            raise ConfigError(
                "another pipeline as prior needs prompts, and this one is called without: give a function"
            )
        return {"prompt": asked.prompts}

    def _size_of(self, asked: Asked) -> dict[str, int]:
        if self._size is not None:
            return {"height": self._size, "width": self._size}
        if self._own or asked.height is None or asked.width is None:
            return {}
        return {"height": asked.height, "width": asked.width}


def _generators(noise: Tensor) -> Any:
    """Return generators seeded by the noise, image by image."""
    import torch

    seeds = [int(abs(float(row.double().sum())) * 2**20) for row in noise]
    made = [torch.Generator(noise.device).manual_seed(seed) for seed in seeds]
    return made if len(made) > 1 else made[0]


def _last_sample(pipe: Any, given: Mapping[str, Any], noise: Tensor) -> Tensor:
    """Run a pipeline from this noise; return what its last step ends with, in the form in which its loop has it.

    Args:
        pipe: a pipeline that nobody else uses.
        given: what it is called with.
        noise: standard normal, (B, ...), in that form.
    """
    last: list[Tensor] = []

    def prepared(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        start = noise * float(getattr(pipe.scheduler, "init_noise_sigma", 1.0))
        return (start, *result[1:]) if isinstance(result, tuple) else start

    def stepped(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        last[:] = [result[0]]
        return result

    patches = PatchStack()
    patches.apply([Patch(pipe, "prepare_latents", prepared), Patch(pipe.scheduler, "step", stepped)])
    try:
        pipe(**given)
    except (TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise PropagationError(
            f"{type(pipe).__name__} cannot be its own prior, called with the same arguments once more: {error}; give a "
            "function as prior"
        ) from error
    finally:
        patches.remove()
    return last[0]


def twin(pipe: Any, patched: tuple[str, ...]) -> Any:
    """Return a pipeline of the same networks with a scheduler of its own, and without our patches."""
    other = copy.copy(pipe)
    for name in patched:
        other.__dict__.pop(name, None)
    other.__dict__["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
    other.set_progress_bar_config(disable=True)
    return other


def call_of(pipe: Any) -> tuple[FrameType, dict[str, Any]] | None:
    """Return the call of a pipeline that goes on, and what it was called with; None for a loop of one's own.

    Early in its call: pipelines give new values to the names of their arguments as they go on.
    """
    names = set(inspect.signature(pipe.__call__).parameters)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "__call__" and frame.f_locals.get("self") is pipe:
            return frame, {name: value for name, value in frame.f_locals.items() if name in names}
        frame = frame.f_back
    return None


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


def check_pipeline(pipe: Any) -> None:
    """Refuse pipelines that cannot begin in the middle."""
    prepare = getattr(pipe, "prepare_latents", None)
    if not callable(prepare):
        raise ConfigError(f"{type(pipe).__name__} has no prepare_latents, in whose place early stop would begin")
    found = sorted(GIVEN & set(inspect.signature(prepare).parameters))
    if found:
        raise ConfigError(
            f"{type(pipe).__name__} begins with an image of its own ({', '.join(found)}); early stop is for pipelines "
            "that begin with noise"
        )
