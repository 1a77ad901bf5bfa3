"""Draw captions with a pipeline, as it is or with propagation, and note what it cost."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

import fdplug
from fdplug.errors import ConfigError, FdplugWarning
from fdplug.predict.progress import watched
from fdplug.predict.seeds import generators
from fdplug.predict.timing import DenoiserTimer, denoiser_of

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption


@dataclass(frozen=True, kw_only=True)
class Look:
    """What decides the images besides captions and propagation.

    Args:
        steps: Denoising steps.
        guidance: Guidance scale; None is the pipeline's own.
        size: Height and width in pixels; None is the pipeline's own.
        seed: Seed of the run; each image's own seed is made from it and the image id.
    """

    steps: int
    guidance: float | None = None
    size: int | None = None
    seed: int = 0

    def with_guidance(self, guidance: float | None) -> Look:
        """The same look with another guidance scale."""
        return replace(self, guidance=guidance)

    def call_options(self) -> dict[str, Any]:
        """The keyword arguments of the pipeline call."""
        options = {"guidance_scale": self.guidance, "height": self.size, "width": self.size}
        return {
            "num_inference_steps": self.steps,
            **{key: value for key, value in options.items() if value is not None},
        }


@dataclass(frozen=True, kw_only=True)
class Run:
    """One pipeline call: images (N, 3, H, W) uint8 on the CPU, seconds, and the ledger if there was one."""

    images: Tensor
    seconds: float
    denoiser_seconds: float
    ledger: Any = None


def run(
    pipe: Any,
    captions: Sequence[Caption],
    look: Look,
    propagate: Mapping[str, Any] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Draw captions in one pipeline call.

    Args:
        pipe: A diffusers text-to-image pipeline.
        captions: One image each.
        look: Steps, guidance, size, seed.
        propagate: Settings of `fdplug.propagate`; None leaves the pipeline as it is.
        on_step: Called with (steps done, steps in all) as the denoising goes on.
    """
    with propagated(pipe, propagate) as propagation, DenoiserTimer(pipe) as timer, watched(pipe, on_step):
        start = _now(pipe)
        images = _call(pipe, captions, look)
        seconds = _now(pipe) - start
    ledger = None if propagation is None else propagation.ledger
    return Run(images=to_uint8(images), seconds=seconds, denoiser_seconds=timer.seconds, ledger=ledger)


@contextmanager
def propagated(pipe: Any, settings: Mapping[str, Any] | None) -> Iterator[Any]:
    """`fdplug.propagate` with these settings, or nothing at all for None."""
    if settings is None:
        yield None
        return
    with fdplug.propagate(pipe, **settings) as propagation:
        yield propagation


def to_uint8(images: Tensor) -> Tensor:
    """Floats in [0, 1] to 0..255 as diffusers does it; numbers that are none become black, with a warning."""
    images = images.detach().float().cpu()
    bad = int((~torch.isfinite(images)).flatten(1).any(1).sum())
    if bad:
        message = f"{bad} of {len(images)} images contain not-a-number and are black there; try dtype float32."
        warnings.warn(message, FdplugWarning, stacklevel=2)
    return (images.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1) * 255).round().to(torch.uint8)


def _call(pipe: Any, captions: Sequence[Caption], look: Look) -> Tensor:
    seeds = generators(look.seed, [caption.image_id for caption in captions])
    texts = [caption.text for caption in captions]
    with torch.no_grad():
        return pipe(prompt=texts, generator=seeds, output_type="pt", **look.call_options()).images


def check_size(pipe: Any, size: int | None) -> None:
    """Refuse a size in pixels that the pipeline cannot make."""
    factor = getattr(pipe, "vae_scale_factor", 8)
    if size is not None and size % factor:
        raise ConfigError(f"size must be a multiple of {factor} for {type(pipe).__name__}, got {size}.")


def _now(pipe: Any) -> float:
    if next(denoiser_of(pipe).parameters()).device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
