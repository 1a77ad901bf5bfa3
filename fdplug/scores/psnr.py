"""Decibels of an error: the one formula behind every PSNR of the package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PEAK = 255.0


def decibels(error: float, peak: float = PEAK) -> float:
    """Peak signal-to-noise ratio in dB.

    Args:
        error: mean squared error.
        peak: the largest value that a pixel can have; 255 for 8 bits.

    Returns:
        `10 log10(peak^2 / error)`, infinite without an error.
    """
    return 10 * math.log10(peak**2 / error) if error else math.inf


def squared_errors(images: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared error of each image, (N,), of images and reference (N, ...) with 8 bits."""
    return (images.double() - reference.double()).square().flatten(1).mean(1)


def image_decibels(errors: Tensor, least: float) -> Tensor:
    """Return the PSNR of each image, (N,), from `squared_errors`; an error below `least` counts as that."""
    return 10 * (PEAK**2 / errors.double().clamp_min(least)).log10()
