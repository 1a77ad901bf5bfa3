"""What makes the evaluators forgive a generator's manner: blur, noise and the autoencoder's traces."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from fdplug.shapes.coding import decode, encode

LATENT_NOISE = 0.1
PIXEL_NOISE = 0.06


@torch.no_grad()
def augmented(images: Tensor, vae: AutoencoderKL, random: torch.Generator) -> Tensor:
    """Pictures in [0, 1]: a third as drawn, a third blurred and noisy, a third through the autoencoder.

    The order within the batch is kept; the first third is left as drawn.
    """
    plain, rough, coded = images.tensor_split(3)
    return torch.cat([plain, _roughened(rough, random), _recoded(coded, vae, random)])


def _roughened(images: Tensor, random: torch.Generator) -> Tensor:
    share = torch.rand(len(images), 1, 1, 1, generator=random).to(images.device)
    blurred = nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noise = torch.randn(images.shape, generator=random).to(images.device) * PIXEL_NOISE * (1 - share)
    return (images + 0.8 * share * (blurred - images) + noise).clamp(0, 1)


def _recoded(images: Tensor, vae: AutoencoderKL, random: torch.Generator) -> Tensor:
    mean = encode(vae, images)
    share = torch.rand(len(images), 1, 1, 1, generator=random).to(images.device)
    noise = torch.randn(mean.shape, generator=random).to(images.device) * LATENT_NOISE * share * mean.std()
    return decode(vae, mean + noise)
