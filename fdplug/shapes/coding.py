"""Pictures to latents and back, by the posterior's mean."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def encode(vae: Any, images: Tensor) -> Tensor:
    """Unscaled latents (N, 4, 16, 16) of images (N, 3, 64, 64) in [0, 1]; `vae` is an `AutoencoderKL`."""
    return vae.encode(images * 2 - 1).latent_dist.mean


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Images (N, 3, 64, 64) in [0, 1] of unscaled latents (N, 4, 16, 16)."""
    return (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
