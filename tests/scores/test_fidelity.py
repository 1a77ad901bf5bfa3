"""PSNR and SSIM against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics import Metric

from fdplug.scores import Batch
from fdplug.scores.fidelity import Fidelity
from fdplug.scores.lpips import Lpips


def compared(*pairs, score=None):
    """What a score says of batches of images and their baselines."""
    score = score or Fidelity()
    score.begin()
    for images, baseline in pairs:
        score.update(Batch(images, baseline=baseline))
    return score.compute()


def _reference_psnr(a, b):
    errors = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2, axis=(1, 2, 3))
    return 10 * np.log10(255.0**2 / errors)


def test_psnr_is_the_mean_over_images():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (5, 3, 16, 16), dtype=np.uint8) for _ in range(2))
    values = compared(*((torch.tensor(a[part]), torch.tensor(b[part])) for part in (slice(0, 2), slice(2, 5))))
    assert values["psnr"] == pytest.approx(_reference_psnr(a, b).mean(), rel=1e-6)
    assert values["ssim"] < 0.2


def test_an_equal_pair_counts_as_one_value_off_by_one_level():
    rng = np.random.default_rng(2)
    a, b = (rng.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8) for _ in range(2))
    b[0] = a[0]
    other = a.copy()
    other[0, 0, 0, 0] ^= 1
    other[1] = b[1]
    values = compared((torch.tensor(a), torch.tensor(b)))
    assert values["psnr"] == pytest.approx(_reference_psnr(a, other).mean(), rel=1e-6)


def test_equal_images_have_infinite_psnr_and_ssim_one():
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert compared((images, images.clone())) == {
        "psnr": float("inf"),
        "ssim": pytest.approx(1.0),
        "ssim_se": pytest.approx(0.0, abs=1e-6),
    }


def test_standard_errors_are_those_of_the_images():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, rng.uniform(1, 20, (6, 1, 1, 1)), a.shape), 0, 255).astype(np.uint8)
    values = compared((torch.tensor(a), torch.tensor(b)))
    assert values["psnr_se"] == pytest.approx(_reference_psnr(a, b).std(ddof=1) / np.sqrt(6), rel=1e-6)
    single = []
    for index in range(6):
        one = compared((torch.tensor(a[index : index + 1]), torch.tensor(b[index : index + 1])))
        assert set(one) == {"psnr", "ssim"}
        single.append(one["ssim"])
    assert values["ssim"] == pytest.approx(np.mean(single), rel=1e-6)
    assert values["ssim_se"] == pytest.approx(np.std(single, ddof=1) / np.sqrt(6), rel=1e-5)


class _Lpips(Metric):
    """Answers as torchmetrics' LPIPS with `reduction="none"`: a number per pair, of images between 0 and 1."""

    def __init__(self):
        super().__init__(sync_on_compute=False, compute_with_cache=False)
        self.add_state("scores", [], dist_reduce_fx=None)

    def update(self, a, b):
        assert max(a.max(), b.max()) <= 1
        self.scores.append((a - b).abs().mean((1, 2, 3), keepdim=True))

    def compute(self):
        return torch.cat(self.scores)


def test_lpips_is_the_mean_over_pairs_whatever_the_batches():
    images, others = (torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8) for _ in range(2))
    score = Lpips()
    score.device, score.network = "cpu", _Lpips()
    expected = ((images.float() - others.float()) / 255).abs().mean((1, 2, 3))
    values = compared(*((images[part], others[part]) for part in (slice(0, 3), slice(3, 5))), score=score)
    assert values["lpips"] == pytest.approx(float(expected.mean()), rel=1e-6)
    assert values["lpips_se"] == pytest.approx(float(expected.std() / 5**0.5), rel=1e-5)
