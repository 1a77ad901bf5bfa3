"""Dense early by one exponent, and Spectrum's growing windows: against plain counting."""

from __future__ import annotations

import pytest

from fdplug.errors import ConfigError
from fdplug.policies import Early, Window
from fdplug.testing import check_policy
from fdplug.testing.checks import schedule


@pytest.mark.parametrize(
    "policy",
    [Early(1), Early(9), Early(14, 3.0), Window(), Window(3, 1.5, 0.3, 2)],
    ids=lambda one: f"{one.name}-{sorted(vars(one).values(), key=str)}",
)
def test_contract(policy):
    check_policy(policy)


def test_early_is_the_formula():
    expected = {round(50 * (index / 10) ** 1.5) for index in range(10)}
    assert Early(10, 1.5).key_steps(schedule(50)) == expected


@pytest.mark.parametrize("power", [1.0, 1.25, 4.0])
@pytest.mark.parametrize("count", [1, 7, 19, 20, 30])
def test_early_never_loses_a_key(count, power):
    keys = Early(count, power).key_steps(schedule(20))
    assert len(keys) == min(count, 20)
    assert 0 in keys


def test_window_counts_replayed_steps_as_spectrum_does():
    """A step is computed if it is the floor(window)-th behind the last one; each such step widens the window."""
    computed, window, since = [], 2.0, 0
    for step in range(50):
        since += 1
        if step < 5 or step >= 48:
            computed.append(step)
            since = 0
        elif since == int(window):
            computed.append(step)
            window, since = window + 0.75, 0
    assert Window(5, 2.0, 0.75, 2).key_steps(schedule(50)) == set(computed)


@pytest.mark.parametrize("make", [lambda: Early(0), lambda: Early(3, 0.5), lambda: Window(window=0.5)])
def test_options_that_cannot_be_right(make):
    with pytest.raises(ConfigError, match=r"count|power|window"):
        make()
