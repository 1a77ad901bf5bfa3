"""Generate images with a pipeline, as it is or with propagation, and note what it cost."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

import fdplug
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError, warn
from fdplug.lookup import find_denoiser, find_denoisers
from fdplug.pipeline import Propagation
from fdplug.predict.data.seeds import generators
from fdplug.predict.generation.conditioning import conditioning
from fdplug.predict.generation.media import SOUND, form_of, kind_of, output_of, parameters, rate_of, to_samples
from fdplug.predict.generation.progress import watched
from fdplug.profiling.flops import CONVENTIONS
from fdplug.profiling.timing import DenoiserTimer

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.data.captions import Caption
    from fdplug.predict.generation.config import GenerationConfig


LARGEST_SIZE = 16_384
"""Most pixels along a side that are asked of a pipeline."""
Call = Callable[[Any, "Sequence[Caption]", Any], "Tensor"]
"""Calls a pipeline on captions and returns its images (N, 3, H, W), floats in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class StageOutput:
    """What one pipeline of a cascade did, for all images of its call.

    Attributes:
        name: its model or its class.
        steps: timesteps of its scheduler.
        seconds: in the pipeline.
        denoiser_seconds: in its denoiser; None where no family knows it.
        counted: GFLOPs per image by convention; empty where none were counted.
        key_steps: where its part was computed; None without a ledger.
        passes: of every pass of its denoiser the first step that it answered, and how many.
    """

    name: str
    steps: int
    seconds: float
    denoiser_seconds: float | None
    counted: Mapping[str, float] = field(default_factory=dict)
    key_steps: tuple[int, ...] | None = None
    passes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GenerationOutput:
    """What was generated, and what it cost.

    Attributes:
        images: (N, 3, H, W) uint8 on the CPU, of videos (N, F, 3, H, W), of sounds (N, channels, samples) int16; black
            or silent where the pipeline gave not-a-number.
        finite: (N,), whether an image holds numbers only.
        seconds: in the pipeline.
        denoiser_seconds: in the denoiser; None where no family knows it.
        ledger: of the last pipeline call, if features were propagated.
        in_ledger: images of the last pipeline call.
        counted: GFLOPs per image of the last pipeline call by convention, where propagation was still on to count them.
        rate: frames or samples per second; None for images.
        stages: what each pipeline of a cascade did, in order; empty for a pipeline by itself.
    """

    images: Tensor
    finite: Tensor
    seconds: float
    denoiser_seconds: float | None
    ledger: Any = None
    in_ledger: int = 1
    counted: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    stages: tuple[StageOutput, ...] = ()

    def gflops(self, convention: str = "full") -> float | None:
        """GFLOPs of the denoiser per image, by the ledger, all stages together; None without one."""
        if self.counted:
            return self.counted[convention]
        return None if self.ledger is None else self.ledger.gflops(convention) / self.in_ledger

    @property
    def num_key_steps(self) -> int | None:
        """How many key steps there were, all stages together; None without a ledger."""
        if self.stages:
            known = [len(stage.key_steps) for stage in self.stages if stage.key_steps is not None]
            return sum(known) if known else None
        return None if self.ledger is None else len(self.ledger.key_steps)


def joined(runs: Sequence[GenerationOutput]) -> GenerationOutput:
    """Several runs as one, in order."""
    return GenerationOutput(
        images=torch.cat([run.images for run in runs]),
        finite=torch.cat([run.finite for run in runs]),
        seconds=sum(run.seconds for run in runs),
        denoiser_seconds=total(run.denoiser_seconds for run in runs),
        ledger=runs[-1].ledger,
        in_ledger=runs[-1].in_ledger,
        counted=runs[-1].counted,
        rate=runs[-1].rate,
        stages=tuple(_joined_stage(calls) for calls in zip(*(run.stages for run in runs), strict=True)),
    )


def _joined_stage(calls: Sequence[StageOutput]) -> StageOutput:
    return replace(
        calls[-1],
        seconds=sum(call.seconds for call in calls),
        denoiser_seconds=total(call.denoiser_seconds for call in calls),
    )


def total(numbers: Iterable[float | None]) -> float | None:
    """Return the sum of what was measured; None where nothing was."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def per_image(seconds: float | None, count: int) -> float | None:
    """Return the share of one of `count` images; None where nothing was measured."""
    return None if seconds is None else seconds / count


def run(
    pipe: Any,
    captions: Sequence[Caption],
    generation: Any,
    propagation: PropagationConfig | Propagation | None = None,
    on_step: Callable[[int, int], None] | None = None,
    count: bool = False,
    call: Call | None = None,
) -> GenerationOutput:
    """Generate the images of captions in one pipeline call.

    Args:
        pipe: a diffusers text-to-image pipeline.
        captions: one image each.
        generation: steps, guidance, size, seed: a `GenerationConfig`, or what `call` takes.
        propagation: settings of `fdplug.propagate`, or what it returned; None leaves the pipeline as it is.
        on_step: called with (steps done, steps in all) as the denoising goes on.
        count: count GFLOPs before propagation is switched off: what transforms change cannot be counted later.
        call: calls the pipeline, as `call_pipeline` does, which is taken if it is left out.
    """
    with propagated(pipe, propagation) as on:
        with DenoiserTimer(*find_denoisers(pipe)) as timer, watched(pipe, on_step):
            start = _now()
            images = (call or call_pipeline)(pipe, captions, generation)
            seconds = _now() - start
        ledger = None if on is None else on.ledger
        counted: dict[str, float] = {}
        if count and ledger is not None:
            counted = {name: ledger.gflops(name) / len(captions) for name in CONVENTIONS}
    kind = kind_of(pipe)
    pixels, finite = to_samples(images) if kind == SOUND else to_uint8(images)
    return GenerationOutput(
        images=pixels,
        finite=finite,
        seconds=seconds,
        denoiser_seconds=timer.seconds,
        ledger=ledger,
        in_ledger=len(captions),
        counted=counted,
        rate=rate_of(pipe, kind, generation.call_options()),
    )


@contextmanager
def propagated(pipe: Any, settings: PropagationConfig | Propagation | None) -> Iterator[Propagation | None]:
    """`fdplug.propagate` with these settings; what is switched on already stays so, and None is nothing at all."""
    if settings is None or isinstance(settings, Propagation):
        yield settings
        return
    with fdplug.propagate(pipe, settings) as on:
        yield on


def to_uint8(images: Tensor) -> tuple[Tensor, Tensor]:
    """Floats in [0, 1] to 0..255 as diffusers does it, and which images hold numbers only; the others are black there.

    A warning says how many do not.
    """
    images = images.detach().float().cpu()
    finite = torch.isfinite(images).flatten(1).all(1)
    bad = int((~finite).sum())
    if bad:
        message = f"{bad} of {len(images)} images hold not-a-number; try dtype float32"
        warn(message)
    return (images.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1) * 255).round().to(torch.uint8), finite


def call_pipeline(pipe: Any, captions: Sequence[Caption], generation: GenerationConfig) -> Tensor:
    """Return what one call of the pipeline makes, as `output_of` does; tests put another in its place."""
    seeds = [caption.noise_seed(generation.seed) for caption in captions]
    return called(pipe, conditioning(pipe, captions, generation.size), generation.call_options(), seeds)


def called(
    pipe: Any, given: Mapping[str, Any], options: Mapping[str, Any], seeds: Sequence[int], form: str | None = None
) -> Tensor:
    """Return what one call of the pipeline makes, as `output_of` does.

    Args:
        pipe: the pipeline.
        given: what it generates from, by argument.
        options: its further arguments.
        seeds: one for each image.
        form: the `output_type`; by default that of pixels between 0 and 1.
    """
    check_timesteps(pipe, options)
    asked = {"output_type": form or form_of(pipe)} if "output_type" in parameters(pipe) else {}
    with torch.no_grad():
        return output_of(pipe(**given, generator=generators(seeds), **options, **asked), kind_of(pipe))


def check_timesteps(pipe: Any, options: Mapping[str, Any]) -> None:
    """Refuse a sampler whose timesteps or sigmas the pipeline cannot be given.

    Raises:
        ConfigError: the pipeline's call has no such argument.
    """
    accepted = inspect.signature(pipe.__call__).parameters
    for name in ("timesteps", "sigmas"):
        if name in options and name not in accepted:
            raise ConfigError(f"{type(pipe).__name__} cannot be given {name}, which this sampler chooses; take another")


def check_size(pipe: Any, size: int | None) -> None:
    """Refuse a size in pixels that the pipeline cannot make: diffusers takes multiples of 8, some only of patches."""
    patch = getattr(getattr(find_denoiser(pipe), "config", None), "patch_size", None)
    factor = math.lcm(8, getattr(pipe, "vae_scale_factor", 8) * (patch if isinstance(patch, int) else 1))
    if size is not None and not (factor <= size <= LARGEST_SIZE and size % factor == 0):
        name = type(pipe).__name__
        raise ConfigError(f"size must be a multiple of {factor} up to {LARGEST_SIZE} for {name}, got {size}")


def check_steps(scheduler: Any, steps: int) -> None:
    """Refuse more steps than a scheduler has timesteps."""
    most = getattr(scheduler.config, "num_train_timesteps", None)
    if isinstance(most, int) and steps > most:
        raise ConfigError(f"steps must be at most the {most} of {type(scheduler).__name__}, got {steps}")


def _now() -> float:
    """Return the time at which the GPU, if one is in use, has done all it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
