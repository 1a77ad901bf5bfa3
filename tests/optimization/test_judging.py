"""Verdicts: what wins, by how much, and when fewer steps are the answer."""

from __future__ import annotations

import numpy as np
import pytest

from fdplug.optimization.answer import answered
from fdplug.optimization.budget import Budget
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.judging import BAR, BEST, FASTEST, REFERENCE, Row, lacking, verdict
from fdplug.optimization.measuring.outcome import Outcome
from fdplug.optimization.measuring.price import Price
from fdplug.presets.preset import MadeFor

COUNT = 16
NOISE = np.random.default_rng(0).normal(size=COUNT)


def row(role, steps, psnr, seconds, right=1.0):
    """A row whose images differ as those of all others do."""
    accuracy = (np.arange(COUNT) < right * COUNT).astype(float)
    values = {"psnr": psnr + NOISE, "accuracy": accuracy}
    return Row((role,), Candidate("ddim", steps), Price(seconds, 0, 0), Outcome(values, [seconds, seconds * 1.001]))


def spread(one, width):
    """The same row with differences of its own, as large as `width`."""
    values = {**one.outcome.values, "psnr": one.outcome.values["psnr"] + width * (NOISE - NOISE.mean())[::-1]}
    return Row(one.roles, one.candidate, one.price, Outcome(values, one.outcome.seconds))


REFERENCE_ROW = row(REFERENCE, 50, 58.9, 4.0)


def test_a_gain_beyond_twice_its_error_wins():
    found = verdict(
        [REFERENCE_ROW, row(BAR, 25, 33, 2.0), row(BAR, 24, 34, 2.0), row(BEST, 49, 36, 2.0)], Budget.parse("2x")
    )
    assert found.beats
    assert found.row.candidate.steps == 49
    assert found.bar.candidate.steps == 24, "the better one of the bar's rows"
    assert found.reason == "+2 ±0 dB over the best fewer steps"


def test_a_gain_within_its_error_does_not_win():
    best = spread(row(BEST, 49, 34.2, 2.0), 2.0)
    found = verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0), best], Budget.parse("2x"))
    assert not found.beats
    assert found.row.candidate.steps == 24
    assert found.reason.startswith("nothing here beats it at this budget: the best other is at +0.")


@pytest.mark.parametrize(
    ("seconds", "right", "said"),
    [(2.4, 1.0, "1.20 times its seconds"), (2.0, 0.5, "but worse in accuracy")],
)
def test_more_seconds_or_a_lower_score_do_not_win(seconds, right, said):
    best = row(BEST, 49, 40, seconds, right)
    found = verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0), best], Budget.parse("2x"))
    assert not found.beats
    assert said in found.reason


def test_where_the_best_takes_longer_a_cheaper_row_of_the_search_may_win():
    slow, cheaper = row(BEST, 49, 40, 2.4), row(FASTEST, 48, 36, 1.5)
    found = verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0), slow, cheaper], Budget.parse("2x"))
    assert found.beats
    assert found.row.candidate.steps == 48
    assert found.reason == "+2 ±0 dB over the best fewer steps"
    worse = row(FASTEST, 48, 36, 1.5, right=0.5)
    assert not verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0), slow, worse], Budget.parse("2x")).beats


@pytest.mark.parametrize(
    ("budget", "seconds", "late"),
    [
        ("2x", 2.0, 1.0),
        ("2x", 2.08, 1.0),
        ("2x", 2.4, 1.2),
        ("2s", 2.4, 1.2),
        ("800ms", 0.81, 1.0),
        ("20calls", 9.0, 1.0),
    ],
)
def test_what_took_longer_than_the_budget_by_the_clock_is_known(budget, seconds, late):
    rows = [REFERENCE_ROW, row(BAR, 24, 34, seconds), row(BEST, 49, 36, seconds)]
    found = verdict(rows, Budget.parse(budget))
    assert (found.beats, found.late) == (True, pytest.approx(late, rel=1e-3))


def test_without_a_bar_the_best_is_taken_and_without_both_all_stays():
    alone = verdict([REFERENCE_ROW, row(BEST, 49, 30, 2.0)], Budget.parse("2x"))
    assert (alone.row.candidate.steps, alone.bar) == (49, None)
    nothing = verdict([REFERENCE_ROW], Budget.parse("2x"))
    assert nothing.row.candidate.steps == 50


def test_where_nothing_was_tried_nothing_is_said_about_it():
    found = verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0)], Budget.parse("2x"), tried=0)
    assert found.reason == "only fewer steps were tried, none of the other settings"
    assert verdict([REFERENCE_ROW, row(BAR, 24, 34, 2.0)], Budget.parse("2x")).reason == "nothing else keeps the budget"


def test_a_floor_takes_the_fastest_that_keeps_it():
    rows = [REFERENCE_ROW, row(BAR, 25, 36, 2.0), row(BEST, 49, 36, 1.5)]
    found = verdict(rows, Budget.parse("psnr=35"))
    assert found.row.candidate.steps == 49
    assert "1.33 times as fast as the fewest steps that keep psnr=35" in found.reason
    slower = verdict([REFERENCE_ROW, row(BAR, 25, 36, 1.5), row(BEST, 49, 36, 2.0)], Budget.parse("psnr=35"))
    assert slower.row.candidate.steps == 25


def test_a_floor_that_held_out_prompts_do_not_keep_is_not_claimed():
    rows = [REFERENCE_ROW, row(BAR, 25, 36, 2.0), row(BEST, 49, 30, 1.0)]
    found = verdict(rows, Budget.parse("psnr=35"))
    assert (found.row.candidate.steps, found.reason) == (25, "no other settings keep psnr=35 for less")
    nothing = verdict([REFERENCE_ROW, row(BAR, 25, 30, 2.0), row(BEST, 49, 30, 1.0)], Budget.parse("psnr=35"))
    assert nothing.row is REFERENCE_ROW
    assert nothing.reason == "nothing cheaper keeps psnr=35 on held-out prompts"


def test_lossless_needs_forty_decibels_and_every_score():
    rows = [REFERENCE_ROW, row(BAR, 25, 45, 2.0, right=0.5), row(BEST, 49, 45, 1.0)]
    found = verdict(rows, Budget.parse("lossless"))
    assert (found.row.candidate.steps, found.bar) == (49, None)
    assert verdict([REFERENCE_ROW, row(BEST, 49, 39, 1.0)], Budget.parse("lossless")).row is REFERENCE_ROW
    loss = verdict([REFERENCE_ROW, row(BEST, 49, 45, 1.0, right=0.5)], Budget.parse("accuracy=-0.05"))
    assert loss.row is REFERENCE_ROW


def test_where_the_least_work_fails_on_held_out_prompts_more_of_it_may_keep_the_floor():
    first = [REFERENCE_ROW, row(BAR, 25, 39, 2.0), row(BEST, 49, 39, 1.0)]
    assert lacking(first, Budget.parse("lossless")) == {BAR, BEST}
    more = [*first, row(BEST, 48, 44, 1.5), row(BEST, 47, 42, 1.2), row(BAR, 30, 42, 2.5)]
    assert lacking(more, Budget.parse("lossless")) == set()
    found = verdict(more, Budget.parse("lossless"))
    assert (found.row.candidate.steps, found.bar.candidate.steps) == (47, 30)
    assert found.beats


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.0, ""), (2.4, "; on held-out prompts it took 1.20 times the seconds of the budget 2x")]
)
def test_the_answer_and_its_preset_say_what_took_longer_than_the_budget(seconds, said):
    rows = [REFERENCE_ROW, row(BAR, 24, 34, seconds), row(BEST, 49, 36, seconds)]
    circumstances = {"versions": {"fdplug": "0"}, "hardware": {"cpu": "one"}, "held_out": COUNT}
    told = {"guidance": 7.5, "timesteps": 49, "budget": "2x", "circumstances": circumstances}
    found = answered(verdict(rows, Budget.parse("2x")), rows, MadeFor(), told, {})
    assert found.line.endswith(said)
    assert ("budget" in found.line) == bool(said)
    assert found.preset.figures["verdict"] == f"+2 ±0 dB over the best fewer steps{said}"
