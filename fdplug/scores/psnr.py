"""Decibels of an error: the one formula behind every PSNR of the package."""

from __future__ import annotations

import math

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
