"""The texture of pictures: power spectra of their patches, and how far they are from those of other pictures.

Loss of fine texture, and specks where there should be none, are what acceleration is known for; names of attributes do
not show them, spectra do.
"""

from __future__ import annotations

import torch
from torch import Tensor

PATCH = 8
FLOOR = 1e-5
"""Added to the power before its logarithm: variance of noise of about 0.8 of 255 levels, invisible to the eye."""
HIGH = 0.25
"""High frequencies are those of at least this many cycles per pixel along an axis or both together."""
_LUMA = (0.299, 0.587, 0.114)


def patch_spectra(images: Tensor) -> Tensor:
    """Log power (N, P, 39) of every 8x8 patch of the luminance of images (N, 3, H, W) in [0, 1], natural logarithm.

    Patches lie side by side; each has its mean removed and is Hann-windowed; the constant coefficient is left out.
    """
    return (_power(images)[..., 1:] + FLOOR).log()


def texture_distance(images: Tensor, reference: Tensor) -> Tensor:
    """Distance (N,) in dB between the power spectra of each picture and of its reference.

    The spectra are averaged over the picture's patches, so that it does not matter where the texture lies; the
    distance is the mean over the 39 frequencies of the absolute difference of their levels.
    """
    levels = [10 * (_power(one).mean(dim=1)[:, 1:] + FLOOR).log10() for one in (images, reference)]
    return (levels[0] - levels[1]).abs().mean(dim=-1)


def high_frequency_level(images: Tensor, reference: Tensor) -> Tensor:
    """Level (N,) in dB of each picture's high-frequency energy over its reference's; below 0, texture is missing."""
    chosen = _frequencies() >= HIGH
    energy = [_power(one).mean(dim=1)[:, chosen].sum(dim=-1) + FLOOR * int(chosen.sum()) for one in (images, reference)]
    return 10 * (energy[0] / energy[1]).log10()


def _power(images: Tensor) -> Tensor:
    """Power (N, P, 40) of the patches' half spectrum, normalised so that white noise of variance v has power v."""
    luma = torch.tensor(_LUMA, dtype=torch.float32)
    plane = (images.float().cpu() * luma[:, None, None]).sum(dim=1)
    patches = plane.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).flatten(1, 2)
    patches = patches - patches.mean(dim=(2, 3), keepdim=True)
    window = torch.hann_window(PATCH, periodic=False)[:, None] * torch.hann_window(PATCH, periodic=False)
    power = torch.fft.rfft2(patches * window).abs().square() / window.square().sum()
    return power.flatten(2)


def _frequencies() -> Tensor:
    """Cycles per pixel (40,) of each coefficient."""
    down, across = torch.fft.fftfreq(PATCH), torch.fft.rfftfreq(PATCH)
    return (down[:, None].square() + across.square()).sqrt().flatten()
