"""PSNR and SSIM against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fdplug.predict.fidelity import Fidelity


def _reference_psnr(a, b):
    return 10 * np.log10(255.0**2 / np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))


def test_psnr_is_that_of_the_squared_error_over_all_images():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (5, 3, 16, 16), dtype=np.uint8) for _ in range(2))
    fidelity = Fidelity()
    for part in (slice(0, 2), slice(2, 5)):
        fidelity.update(torch.tensor(a[part]), torch.tensor(b[part]))
    values = fidelity.compute()
    assert values["psnr"] == pytest.approx(_reference_psnr(a, b), rel=1e-6)
    assert values["ssim"] < 0.2


def test_equal_images_have_infinite_psnr_and_ssim_one():
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    fidelity = Fidelity()
    fidelity.update(images, images.clone())
    assert fidelity.compute() == {"psnr": float("inf"), "ssim": pytest.approx(1.0)}
