"""The verdict on top of a report, against cases whose answer is plain."""

from __future__ import annotations

from fdplug.report.context import _text
from fdplug.report.verdict import verdict
from tests.report.conftest import results, row


def rows(**values):
    """A baseline, a propagated variant, and one of fewer steps that takes no longer."""
    made = [
        row("ddim-10", range(10), 10, 2.0, 10.0, fid=20.0),
        row("fast", (0, 5), 10, 1.0, 7.0, "ddim-10", psnr=30.0, psnr_se=0.3, identical=False),
        row("ddim-5", range(5), 5, 0.9, 5.0, "ddim-10", psnr=28.0, psnr_se=0.4, identical=False),
    ]
    made[1] |= values
    return made


def test_the_verdict_counts_cases_ahead_level_and_behind():
    (line,) = verdict(rows())
    assert line == (
        "PSNR: beside fewer steps that take no more time, propagation is ahead in 1, level in 0, behind in 0 of 1 case;"
        " its best is fast with 30.0 ±0.3 dB at 2.00x."
    )
    assert "ahead in 0, level in 1" in verdict(rows(psnr=28.4))[0], "0.4 is within the errors, 0.5 together"
    assert "level in 0, behind in 1" in verdict(rows(psnr=20.0))[0]
    assert "ahead in 1" in verdict(rows(psnr=None, psnr_se=None, identical=True))[0], "nothing is nearer than equal"


def test_less_is_better_where_the_score_says_so():
    lines = verdict(results()["variants"])
    assert "FID: beside fewer steps that take no more time, propagation is ahead in" in lines[0]
    fid = [one | {"fid": value} for one, value in zip(rows(), (20.0, 19.0, 21.0), strict=True)]
    assert "ahead in 1" in verdict(fid)[0]


def test_pictures_of_different_baselines_are_not_compared():
    other = rows()
    other[2] |= {"compared_with": None, "psnr": 28.0}
    assert verdict(other) == ["There is no score to judge by."]


def test_fewer_steps_that_take_as_long_within_the_spread_count():
    slower = rows()
    slower[2] |= {"seconds_per_image": 1.05, "seconds_per_image_range": [0.9, 1.2]}
    slower[1] |= {"seconds_per_image_range": [0.95, 1.1]}
    assert "ahead in 1" in verdict(slower)[0]
    slower[2] |= {"seconds_per_image_range": [1.15, 1.2]}
    assert "cannot be told" in verdict(slower)[0]


def test_without_fewer_steps_nothing_can_be_told():
    assert "add one" not in verdict(rows()[:2])[0]
    assert verdict(rows()[:2])[0].startswith("Whether propagation is worth it cannot be told")
    assert verdict([rows()[0]]) == ["No variant propagates features."]


def test_variants_that_are_faster_than_all_fewer_steps_are_named_as_not_judged():
    """They may be the best of all: nobody should take the best of the others for it."""
    quick = row("quick", (0, 5), 10, 0.4, 4.0, "ddim-10", psnr=35.0, psnr_se=0.3, identical=False)
    alone = row("alone", (0, 5), 10, 0.5, 4.0, None, psnr=None, psnr_se=None, identical=False)
    judged, beyond = verdict([*rows(), quick, alone])
    assert judged == verdict(rows())[0]
    assert beyond == (
        "Not judged: quick at 5.00x, alone, as no un-accelerated variant takes as little time. Compare with fewer"
        " steps, too."
    )


def test_large_errors_are_not_written_in_powers():
    class Column:
        key = "fid"

        def text(self, _):
            return "204.31"

    assert _text({"fid_se": 162.3}, Column()) == "204.31 ±162"
    assert _text({"fid_se": 0.456}, Column()) == "204.31 ±0.46"
    assert _text({"fid_se": 1.6e-5}, Column()) == "204.31 ±<0.001"
