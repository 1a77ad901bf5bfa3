"""Frechet distance against scipy's matrix square root and torchmetrics' FID."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from fdplug.errors import FdplugWarning
from fdplug.predict.frechet import FeatureStatistics, FrechetDistance, frechet_distance


def _reference_frechet_distance(a, b):
    """The textbook formula with scipy."""
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return shift + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)


def _statistics(features, chunk=7):
    statistics = FeatureStatistics(features.shape[1])
    for part in features.split(chunk):
        statistics.update(part)
    return statistics


@pytest.fixture
def sets():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(60, 12, generator=generator, dtype=torch.float64)
    b = 1.3 * torch.randn(45, 12, generator=generator, dtype=torch.float64) + 0.4
    return a, b


def test_it_equals_scipy(sets):
    a, b = sets
    ours = frechet_distance(_statistics(a).compute(), _statistics(b).compute())
    assert ours == pytest.approx(_reference_frechet_distance(a.numpy(), b.numpy()), rel=1e-9)


def test_statistics_of_batches_are_those_of_the_whole(sets):
    mean, covariance, _ = _statistics(sets[0]).compute()
    torch.testing.assert_close(mean, sets[0].mean(0))
    torch.testing.assert_close(covariance, sets[0].T.cov())


class _Flat(torch.nn.Module):
    num_features = 12

    def forward(self, images):
        return images.flatten(1)[:, :12].double() / 255


def test_it_equals_torchmetrics_fid():
    generator = torch.Generator().manual_seed(1)
    real, fake = (torch.randint(0, 256, (40, 3, 2, 2), generator=generator, dtype=torch.uint8) for _ in range(2))
    fid = FrechetInceptionDistance(feature=_Flat())
    fid.update(real, real=True)
    fid.update(fake, real=False)
    ours = FrechetDistance(_statistics(_Flat()(real)))
    ours.update(_Flat()(fake))
    assert ours.compute() == pytest.approx(float(fid.compute()), rel=1e-5)


def test_equal_sets_are_at_zero_and_never_below(sets):
    for features in (sets[0], sets[0][:5], torch.zeros(9, 12)):
        statistics = _statistics(features).compute()
        assert 0 <= frechet_distance(statistics, statistics) < 1e-6


def test_fewer_images_than_features_warn(sets):
    distance = FrechetDistance(_statistics(sets[0]))
    distance.update(sets[1][:11])
    with pytest.warns(FdplugWarning, match="11 images with 12 features: fewer images than features"):
        assert np.isfinite(distance.compute())


def test_double_precision_survives_single_precision_features(sets):
    shifted = (sets[0] * 1e-3 + 1).float()
    mean, covariance, _ = _statistics(shifted).compute()
    assert mean.dtype == covariance.dtype == torch.float64
    torch.testing.assert_close(covariance, shifted.double().T.cov(), rtol=1e-6, atol=1e-14)
