"""Pairs, shares and the Pareto front, against scipy and naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fdplug.optimization.measuring.outcome import Outcome, paired, pareto


@pytest.mark.parametrize("seed", range(3))
def test_a_paired_difference_is_that_of_the_paired_t_test(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=20), rng.normal(size=20)
    found = paired(one, other)
    assert found.value / found.error == pytest.approx(ttest_rel(one, other).statistic)


@pytest.mark.parametrize(
    ("differences", "gain", "loss"),
    [([1.0, 1.1, 0.9], True, False), ([-1.0, -1.1, -0.9], False, True), ([1.0, -1.0, 0.5], False, False)],
)
def test_a_gain_is_more_than_twice_its_error(differences, gain, loss):
    found = paired(np.array(differences), np.zeros(3))
    assert (found.is_gain, found.is_loss) == (gain, loss)


def test_equal_pairs_are_neither_and_one_pair_says_nothing():
    same = paired(np.ones(4), np.ones(4))
    assert (same.value, same.error, same.is_gain, same.is_loss) == (0, 0, False, False)
    single = paired(np.array([5.0]), np.array([1.0]))
    assert not single.is_gain
    assert math.isinf(single.error)


def test_the_error_of_a_share_counts_one_more_hit_and_miss():
    outcome = Outcome({"right": np.ones(8)}, [1.0])
    assert outcome.error("right") == pytest.approx(math.sqrt(0.9 * 0.1 / 10))
    numbers = Outcome({"dB": np.array([30.0, 32.0, 37.0])}, [1.0, 3.0, 2.0])
    assert numbers.error("dB") == pytest.approx(np.std([30, 32, 37], ddof=1) / math.sqrt(3))
    assert numbers.pace == 2.0


def naive(points):
    """The places of points that no other point is at least as good as in both, the first of equal ones."""
    found = []
    for place, (cost, quality) in enumerate(points):
        beaten = False
        for other, (rival_cost, rival_quality) in enumerate(points):
            as_good = rival_cost <= cost and rival_quality >= quality
            better = (rival_cost, rival_quality) != (cost, quality) or other < place
            beaten = beaten or (as_good and better and other != place)
        if not beaten:
            found.append(place)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_that_of_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    points = [(float(cost), float(quality)) for cost, quality in rng.integers(0, 6, size=(12, 2))]
    assert pareto(points) == naive(points)
