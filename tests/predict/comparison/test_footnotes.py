"""Sentences under a table: what they compare, and which ratios they dare to quote."""

from __future__ import annotations

import pytest

from fdplug.predict.comparison.footnotes import equal_time_sentences, explanations
from fdplug.predict.comparison.table import shown, texts
from tests.report.conftest import row


def rows(**other):
    fast = row("fast", (0, 5), 10, 1.0, 7.0, "ddim-10", fid=21.5, psnr=30.0, ssim=0.9, identical=False)
    less = row("ddim-5", range(5), 5, 0.8, 5.0, "ddim-10", fid=20.5, psnr=33.0, ssim=0.95, identical=False)
    return [fast, {**less, **other}]


def test_scores_are_called_as_the_scores_say():
    (sentence,) = equal_time_sentences(rows())
    assert sentence == (
        "In no more time than fast, ddim-5 (0.8 against 1 s/image, 1.25 times as fast): FID 20.50 against 21.50;"
        " PSNR 33.0 against 30.0 dB; SSIM 0.950 against 0.900."
    )


def test_differences_to_other_baselines_are_not_compared():
    (sentence,) = equal_time_sentences(rows(compared_with="another"))
    assert "FID" in sentence
    assert "PSNR" not in sentence
    assert "SSIM" not in sentence


def test_variants_that_are_faster_than_all_fewer_steps_are_named():
    _, less = rows()
    quick = [row(name, (0, 5), 10, 0.5, 4.0, "ddim-10", identical=False) for name in ("quick", "quicker")]
    assert equal_time_sentences([*rows(), *quick])[1:] == [
        "No un-accelerated variant takes as little time as quick, quicker: add fewer steps."
    ]
    assert equal_time_sentences([less]) == []


def test_what_a_propagated_row_lacks_is_said():
    """As a preset of another guidance than the other variants."""
    settings = {"timed_rounds": 1, "timed_batch": 4, "memory_kind": "resident"}
    base, plain = row("ddim-10", range(10), 10, 2.0, 9.0), row("euler-5", range(5), 5, 1.0, 4.0)
    fast = row("fast", (0, 5), 10, 1.0, 7.0, "ddim-10")
    lone = row("strong", (0, 5), 10, 1.0, 7.0, guidance=7.5)
    said = [line for line in explanations([base, plain, fast, lone], settings) if line.startswith("Nothing here")]
    assert said == [
        "Nothing here is strong un-accelerated, so it has no PSNR, SSIM and speed-up: add a variant with ddim,"
        " 10 steps, guidance 7.5, or name another one by --reference."
    ]


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        (([0.9, 1.1], [0.7, 0.85]), "(0.8 (0.7 to 0.85) against 1 (0.9 to 1.1) s/image, 1.25 times as fast)"),
        (([0.8, 1.1], [0.7, 0.9]), "(0.8 (0.7 to 0.9) against 1 (0.8 to 1.1) s/image, within the spread)"),
    ],
)
def test_a_ratio_is_quoted_only_beyond_the_spread(ranges, said):
    fast, less = rows()
    pair = [{**one, "seconds_per_image_range": spread} for one, spread in zip((fast, less), ranges, strict=True)]
    assert said in equal_time_sentences(pair)[0]


def test_a_speed_up_within_the_spread_stands_in_brackets():
    found = []
    for least, most in ((0.9, 1.4), (1.1, 1.4), (1.0, 1.0)):
        table = texts([{**rows()[0], "speedup": 1.2, "speedup_range": [least, most]}])
        found.append(table["body"][0][table["head"].index("speed-up")])
    assert found == ["(1.20x)", "1.20x", "1.20x"]


def test_what_has_no_baseline_has_no_speed_up():
    fast, less = rows()
    table = texts([{**fast, "compared_with": None}, {**less, "propagate": None, "compared_with": None}])
    assert [row[table["head"].index("speed-up")] for row in table["body"]] == ["-", "2.50x"]


def test_columns_know_their_scores():
    columns = {column.key: column for column in shown(rows())}
    assert columns["fid"].number.higher_is_better is False
    assert columns["psnr"].number.higher_is_better is True
    assert columns["speedup"].number is None
    assert columns["psnr"].text({"psnr": None, "identical": True}) == "equal"


def test_unequal_times_of_equal_gflops_come_first():
    fast, less = rows(gflops_per_image=7.0)
    settings = {"timed_rounds": 3, "timed_batch": 2, "memory_kind": "x"}
    lines = explanations([fast, less], settings)
    assert lines[0].startswith("ddim-5 and fast take the same 7 GFLOPs, but 0.72 and 0.9 denoiser s/image")
    assert any("the median of 3 timed rounds of 2 images" in line for line in lines)
