"""What a pipeline generates from: prompts, or class labels."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from fdplug.errors import ConfigError, PipelineError
from fdplug.lookup import find_denoiser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fdplug.predict.data.captions import Caption


def check_conditioning(pipe: Any, captions: Sequence[Caption], size: int | None = None) -> None:
    """Refuse a pipeline that cannot take these captions, or not at this size.

    Raises:
        PipelineError: it takes neither a prompt nor a class label, or the other one of the two.
        ConfigError: a size is asked of a pipeline that has only one.
    """
    conditioning(pipe, captions[:1])
    if size is not None and not _takes(pipe, "height"):
        raise ConfigError(f"{type(pipe).__name__} generates images of one size only; leave out size, got {size}")


def conditioning(pipe: Any, captions: Sequence[Caption]) -> dict[str, Any]:
    """The arguments of a pipeline call that say what to generate images of."""
    name = type(pipe).__name__
    if _takes(pipe, "prompt"):
        if any(caption.label is not None for caption in captions):
            raise PipelineError(
                f"{name} generates from prompts, not class labels; give --data CocoCaptions or PromptFile"
            )
        return {"prompt": [caption.text for caption in captions]}
    if not _takes(pipe, "class_labels"):
        raise PipelineError(f"{name} takes no prompt; a text-to-image or class-conditional pipeline is needed")
    if any(caption.label is None for caption in captions):
        raise PipelineError(f"{name} takes no prompt but class labels; give --data ClassLabels")
    return {"class_labels": [caption.label for caption in captions]}


def image_size(pipe: Any, size: int | None = None) -> tuple[int, int]:
    """Height and width in pixels of the images of a pipeline.

    Args:
        pipe: a pipeline.
        size: what was asked for; None is the pipeline's own.

    Raises:
        ConfigError: the pipeline does not say.
    """
    if size is not None:
        return size, size
    config = getattr(find_denoiser(pipe), "config", None)
    sample = getattr(pipe, "default_sample_size", None) or getattr(config, "sample_size", None)
    if sample is None:
        raise ConfigError(f"{type(pipe).__name__} does not say how large its images are; give a size")
    height, width = (sample, sample) if isinstance(sample, int) else sample
    factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1) if getattr(pipe, "vae", None) else 1
    factor = getattr(pipe, "vae_scale_factor", factor)
    return height * factor, width * factor


def as_tensor(images: Any) -> Tensor:
    """Images of a pipeline as floats (N, 3, H, W): some give numpy arrays (N, H, W, 3) whatever they are asked for."""
    return images if isinstance(images, torch.Tensor) else torch.from_numpy(images).permute(0, 3, 1, 2)


def _takes(pipe: Any, argument: str) -> bool:
    return argument in inspect.signature(pipe.__call__).parameters
