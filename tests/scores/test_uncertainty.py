from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fdplug.scores.features.frechet import Moments, frechet_distance
from fdplug.scores.uncertainty import clustered, frechet_resamples, mean, moments, paired, share

RANDOM = torch.Generator().manual_seed(0)
REFERENCE = Moments(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64), 0)


def test_the_error_of_a_mean_is_that_of_independent_values() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    spread = math.sqrt(sum((value - 4.0) ** 2 for value in values) / 3)
    assert mean(torch.tensor(values)) == pytest.approx((4.0, spread / 2))


def test_a_paired_difference_is_surer_than_two_means() -> None:
    base = torch.randn(200, generator=RANDOM)
    found = paired(base + 0.5, base)
    assert found.value == pytest.approx(0.5)
    assert found.error < 1e-6 < mean(base).error


def test_a_share_of_one_is_not_certain() -> None:
    found = share(torch.ones(98, dtype=torch.bool))
    assert found.value == 1
    assert found.error == pytest.approx(math.sqrt(0.99 * 0.01 / 100))


def test_moments_are_those_of_all_features_of_the_chosen_pictures() -> None:
    features = torch.randn(6, 10, 3, generator=RANDOM)
    rows = torch.tensor([0, 0, 4, 5])
    flat = features[rows].reshape(-1, 3).double().numpy()
    middle, covariance, count = moments(clustered(features), rows)
    assert count == 40
    np.testing.assert_allclose(middle.numpy(), flat.mean(0), atol=1e-9)
    np.testing.assert_allclose(covariance.numpy(), np.cov(flat.T), atol=1e-9)


def test_resamples_spread_like_independent_repetitions() -> None:
    """The bootstrap's spread is near that of distances measured on fresh sets."""
    fresh = [
        frechet_distance(moments(clustered(0.5 + torch.randn(100, 1, 2, generator=RANDOM))), REFERENCE)
        for _ in range(200)
    ]
    boot = frechet_resamples(clustered(0.5 + torch.randn(100, 1, 2, generator=RANDOM)), REFERENCE)
    assert len(boot) == 200
    assert 0.6 < float(boot.std()) / float(np.std(fresh)) < 1.6


def test_resamples_of_two_methods_choose_the_same_pictures() -> None:
    features = torch.randn(50, 4, 2, generator=RANDOM)
    first, second = (frechet_resamples(clustered(one), REFERENCE) for one in (features, features))
    assert torch.equal(first, second)
    shifted = frechet_resamples(clustered(features + 1), REFERENCE)
    assert (shifted - first).std() < shifted.std() + first.std()
