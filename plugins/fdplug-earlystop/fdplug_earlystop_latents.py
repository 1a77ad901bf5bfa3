"""Images as a pipeline's latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError

if TYPE_CHECKING:
    from torch import Tensor


def latents_of(pipe: Any, given: Any, noise: Tensor, height: int | None, width: int | None) -> Tensor:
    """Return what a prior gave as clean latents of the noise's shape, (B, ...).

    Args:
        pipe: the pipeline, by whose VAE images are encoded: the mean of what it says, so that nothing is drawn.
        given: latents of that shape, PIL images, or images (B, 3, H, W) from 0 to 1; others are resized.
        noise: (B, ...).
        height: of the images that the pipeline makes, in pixels.
        width: likewise.

    Raises:
        PropagationError: they are too few or too many, or the pipeline's latents are not those of its VAE.
    """
    import torch

    if isinstance(given, torch.Tensor) and given.shape == noise.shape:
        return given.to(noise)
    images = given if isinstance(given, torch.Tensor) else _stacked(given)
    if images.ndim != 4 or images.shape[:2] != (noise.shape[0], 3):
        raise PropagationError(
            f"the prior gave {tuple(images.shape)}; {noise.shape[0]} images (B, 3, H, W) from 0 to 1 are needed, or "
            f"latents {tuple(noise.shape)}"
        )
    if height is not None and width is not None and images.shape[-2:] != (height, width):
        images = torch.nn.functional.interpolate(
            images.float(), (height, width), mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
    return _packed(pipe, _encoded(pipe, images), noise)


def _stacked(images: Sequence[Any]) -> Tensor:
    """Return PIL images as one tensor, (B, 3, H, W); those of other sizes as large as the first."""
    import numpy as np
    import torch

    alike = [one.convert("RGB").resize(images[0].size) for one in images]
    return torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1).float() / 255 for one in alike])


def _encoded(pipe: Any, images: Tensor) -> Tensor:
    """Return the VAE's latents as an image-to-image pipeline normalises them, (B, C, h, w)."""
    import torch

    vae = getattr(pipe, "vae", None)
    config: Any = getattr(vae, "config", None)
    if vae is None or getattr(config, "scaling_factor", None) is None:
        raise PropagationError(
            f"{type(pipe).__name__} has no VAE whose latents are scaled by one factor, so that images cannot be "
            "encoded for it; give a prior that returns latents, such as prior 'own' without size"
        )
    dtype = vae.dtype
    wider = bool(getattr(config, "force_upcast", False)) and dtype == torch.float16
    if wider:
        vae.to(torch.float32)
    try:
        latents = vae.encode((2 * images - 1).to(vae.device, vae.dtype))
    finally:
        if wider:
            vae.to(dtype)
    latents = latents.latent_dist.mode() if hasattr(latents, "latent_dist") else latents.latents
    mean, spread = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and spread is not None:
        mean, spread = (torch.tensor(one).view(1, -1, 1, 1).to(latents) for one in (mean, spread))
        return (latents - mean) * config.scaling_factor / spread
    return (latents - (getattr(config, "shift_factor", None) or 0)) * config.scaling_factor


def _packed(pipe: Any, latents: Tensor, noise: Tensor) -> Tensor:
    """Return latents in the pipeline's own order: some make tokens of patches."""
    if latents.shape != noise.shape and callable(getattr(pipe, "_pack_latents", None)):
        latents = pipe._pack_latents(latents, *latents.shape)
    if latents.shape != noise.shape:
        raise PropagationError(
            f"the images' latents are {tuple(latents.shape)}, and {type(pipe).__name__} begins with "
            f"{tuple(noise.shape)}; give a prior that returns latents of this shape"
        )
    return latents.to(noise)
