"""How much work a budget pays for, and how little a floor needs, against trying every amount."""

from __future__ import annotations

import numpy as np
import pytest

from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.price import Price
from fdplug.optimization.measuring.workbench import TimeUp
from fdplug.optimization.proposing.recipe import Recipe


def recipe(costs):
    return Recipe(
        range(1, len(costs) + 1),
        lambda count: Candidate("ddim", count),
        lambda count: Price(costs[count - 1], 0.0, 0.0),
    )


@pytest.mark.parametrize("seed", range(10))
def test_bisection_finds_what_a_scan_finds(seed):
    rng = np.random.default_rng(seed)
    costs = np.sort(rng.uniform(0, 1, size=rng.integers(1, 20)))
    one = recipe(costs)
    for limit in rng.uniform(-0.1, 1.1, size=5):
        scanned = [count for count in one.counts if costs[count - 1] <= limit]
        assert one.largest(lambda price, limit=limit: price.seconds <= limit) == (max(scanned) if scanned else None)
        enough = [count for count in one.counts if costs[count - 1] >= limit]
        found = one.fewest(lambda candidate, limit=limit: costs[candidate.steps - 1] >= limit)
        assert found == (min(enough) if enough else None)


def test_a_limit_of_work_is_kept():
    one = recipe(np.arange(10.0))
    assert one.fewest(lambda candidate: candidate.steps >= 3, most=6) == 3
    assert one.fewest(lambda candidate: candidate.steps >= 8, most=6) is None


def test_where_the_time_is_up_the_least_that_is_known_to_hold_is_taken():
    one, asked = recipe(np.arange(40.0)), []

    def holds(candidate):
        asked.append(candidate.steps)
        if len(asked) == 3:
            raise TimeUp
        return True

    assert one.fewest(holds) == asked[1] == 20
    with pytest.raises(TimeUp):
        one.fewest(holds_never)


def holds_never(candidate):
    raise TimeUp
