from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fdplug.shapes.texture import high_frequency_level, patch_spectra, texture_distance

LUMA = (0.299, 0.587, 0.114)


def _reference_power(image: np.ndarray) -> np.ndarray:
    """Power (64, 8, 8) of the 8x8 patches of one picture (3, 64, 64), by the full FFT of each patch in turn."""
    plane = sum(weight * channel for weight, channel in zip(LUMA, image.astype(np.float64), strict=True))
    window = np.outer(np.hanning(8), np.hanning(8))
    found = []
    for row in range(0, 64, 8):
        for column in range(0, 64, 8):
            patch = plane[row : row + 8, column : column + 8]
            spectrum = np.fft.fft2((patch - patch.mean()) * window)
            found.append(np.abs(spectrum) ** 2 / (window**2).sum())
    return np.array(found)


def _pictures(seed: int, scale: float = 0.1) -> Tensor:
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    return (0.5 + scale * noise).clamp(0, 1)


def test_spectra_agree_with_an_fft_of_each_patch() -> None:
    image = _pictures(0)[:1]
    expected = np.log(_reference_power(image[0].numpy())[:, :, :5].reshape(64, 40)[:, 1:] + 1e-5)
    np.testing.assert_allclose(patch_spectra(image)[0].numpy(), expected, atol=2e-3)


def test_distance_agrees_with_levels_frequency_by_frequency() -> None:
    first, second = _pictures(1), _pictures(2, 0.05)
    for one, other, found in zip(first, second, texture_distance(first, second), strict=True):
        powers = [_reference_power(image.numpy()).mean(0)[:, :5].reshape(40)[1:] + 1e-5 for image in (one, other)]
        assert found.item() == pytest.approx(np.abs(10 * np.log10(powers[0] / powers[1])).mean(), rel=1e-3)


def test_equal_pictures_have_no_distance_and_the_distance_has_no_direction() -> None:
    first, second = _pictures(1), _pictures(2, 0.05)
    assert texture_distance(first, first).abs().max() == 0
    torch.testing.assert_close(texture_distance(first, second), texture_distance(second, first))


def test_halving_the_contrast_lowers_every_level_by_six_decibels() -> None:
    loud = _pictures(3, 0.1)
    quiet = 0.5 + (loud - 0.5) / 2
    assert high_frequency_level(quiet, loud).mean().item() == pytest.approx(-6.02, abs=0.05)
    assert texture_distance(quiet, loud).mean().item() == pytest.approx(6.02, abs=0.1)


def test_blur_loses_high_frequencies() -> None:
    sharp = _pictures(4)
    blurred = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, 1)
    assert (high_frequency_level(blurred, sharp) < -6).all()
