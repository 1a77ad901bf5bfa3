"""Medians and ranges of rounds, and when times differ by more than the rounds among themselves."""

from __future__ import annotations

import pytest

from fdplug.profiling.spread import Spread, ratios, unequal_times


def row(name, gflops, *seconds):
    return {"name": name, "gflops_per_image": gflops, **Spread.of(seconds).row("denoiser_seconds_per_image")}


def test_a_spread_is_median_and_range():
    spread = Spread.of([0.5, 0.2, 0.4])
    assert (spread.median, spread.least, spread.most) == (0.4, 0.2, 0.5)
    assert str(spread) == "0.4 (0.2 to 0.5)"
    assert Spread.read(spread.row("s"), "s") == spread
    assert Spread.read({"s": 0.3}, "s") == Spread(0.3, 0.3, 0.3), "a row of an older file"
    assert str(Spread.of([0.3])) == "0.3"


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ((1, 2), (3, 4), True),
        ((3, 4), (1, 2), True),
        ((1, 3), (2, 4), False),
        ((1, 4), (2, 3), False),
        ((1, 2), (2, 3), False),
    ],
)
def test_times_differ_where_no_round_of_one_is_within_the_other(one, other, differs):
    assert Spread.of(one).differs(Spread.of(other)) is differs


def test_ratios_are_taken_round_by_round():
    """The second round was slow for both, which says nothing about either."""
    assert ratios([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, pytest.approx(2.2))


def test_equal_gflops_in_unequal_times_are_pointed_out():
    rows = [
        row("plain", 10.0, 2.0, 2.1, 2.2),
        row("one", 5.0, 1.0, 1.1, 1.2),
        row("two", 5.004, 1.15, 1.3, 1.25),
        row("three", 5.0001, 1.4, 1.5, 1.6),
    ]
    (sentence,) = unequal_times(rows)
    assert sentence.startswith(
        "one and three take the same 5 GFLOPs, but 1.1 (1 to 1.2) and 1.5 (1.4 to 1.6) denoiser s/image"
    )
    assert unequal_times(rows[:3]) == []
    assert unequal_times([]) == []
