"""The frontier's rows, its comparisons and its tables, on numbers worked out by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from benchmarks import tuning
from benchmarks.frontier.__main__ import chosen, main, parser
from benchmarks.frontier.bar import against_stock, best, check_bar, contenders
from benchmarks.frontier.chart import drawn
from benchmarks.frontier.pictures import kept, starts, stem
from benchmarks.frontier.record import both, earlier_rows, has_limit, interleaved, save, times
from benchmarks.frontier.rows import Found, rows
from benchmarks.frontier.scores import Scores, psnr
from benchmarks.frontier.tables import markdown
from benchmarks.frontier.targets import judged
from benchmarks.frontier.testbeds import OTHERS, TESTBEDS
from fdplug import registry
from fdplug.errors import ConfigError
from fdplug.schedule import Schedule
from fdplug.shapes import pipeline_folder

TUNED = Path("tuned.json")


def found(tmp_path):
    """Return files with something for every row that needs one."""
    keys, rules = tmp_path / "keys.json", tmp_path / "rules.json"
    keys.write_text('{"encoder": {"20": [0, 1], "10": [0]}, "deepcache": {"10": [0, 3]}}')
    rules.write_text('{"fbcache": {"20": {"threshold": 0.1}}, "easycache": {"10": {"threshold": 0.2}}}')
    return Found(tuned=TUNED, keys=keys, rules=rules)


@pytest.mark.parametrize("bed", [*TESTBEDS.values(), *OTHERS.values()], ids=[*TESTBEDS, *OTHERS])
def test_every_row_has_a_name_of_its_own_and_as_many_calls_as_it_says(bed, tmp_path):
    made = list(rows(bed, found(tmp_path)))
    assert made[0].name == bed.reference
    assert len({row.name for row in made}) == len(made)
    for row in made:
        if row.family == "earlystop":
            early = row.settings["transforms"][0]["earlystop"]
            assert round(row.steps * early["strength"]) + early["steps"] == row.calls
        elif row.family == "leaveout":
            assert row.steps - row.sampler["euler"]["leave_out"] == row.calls
        elif row.family not in ("guidance", "limit"):
            assert row.steps == (row.calls if row.family in ("stock", "knots") else bed.steps)
    for family in (
        "stock",
        "trunk",
        "tuned",
        "paper",
        *(("deepcache", "earlystop", "leaveout") if bed.unet else ()),
        *(("knots",) if bed.unet and not bed.label else ()),
    ):
        assert {row.calls for row in made if row.family == family} >= set(bed.budgets)
    assert not [row for row in rows(bed, Found()) if "tuned" in row.name or row.family == "knots"]


def test_searched_key_steps_and_rules_make_rows_where_there_are_any(tmp_path):
    made = {row.name: row for row in rows(TESTBEDS["shapes"], found(tmp_path))}
    assert {"paper-own-20", "paper-own-10", "deepcache-own-10", "fbcache-20", "easycache-10"} < made.keys()
    assert not {"paper-own-8", "deepcache-own-20", "fbcache-10", "magcache-20"} & made.keys()
    assert made["deepcache-own-10"].settings["policy"] == {"explicit": {"steps": [0, 3]}}
    assert made["fbcache-20"].settings["part"] == "after-first-block"


def test_rows_of_guidance_take_as_many_steps_as_their_whole_calls_pay_for():
    for row in rows(TESTBEDS["shapes"], Found()):
        if row.family == "guidance" and "adaptive" not in row.name:
            guidance = _guidance(row.settings["guidance"])
            costs = {steps: _whole_calls(guidance, row.sampler, steps) for steps in (row.steps, row.steps + 1)}
            assert costs[row.steps] <= row.calls < costs[row.steps + 1], row.name


def _guidance(spec):
    """Plugins are not looked for in these tests."""
    if "fastercache" in spec:
        return pytest.importorskip("fdplug_fastercache").FasterCache(**spec["fastercache"])
    return registry.build("guidance", spec)


def _whole_calls(guidance, sampler, steps):
    """A step at which one of two rows runs costs half."""
    own = DDIMScheduler.from_pretrained(pipeline_folder() / "scheduler")
    scheduler = registry.build("sampler", sampler).fit(own)
    scheduler.set_timesteps(steps)
    full = guidance.full_steps(Schedule(tuple(float(value) for value in scheduler.timesteps)))
    return len(full) + (steps - len(full)) / 2


def test_more_captions_add_pieces_and_keep_those_that_are_there():
    row = next(iter(rows(TESTBEDS["shapes"], Found())))
    few, many = (
        argparse.Namespace(model="shapes", reference=None, out=Path("o"), captions=count, first=0, guidance=7.5)
        for count in (48, 100)
    )
    pieces = {kept(many, row, start).name for start in starts(many)}
    assert [kept(few, row, start).name for start in starts(few)] == ["ddim-50-g7.5-0-48.pt"]
    assert pieces == {"ddim-50-g7.5-0-48.pt", "ddim-50-g7.5-48-96.pt", "ddim-50-g7.5-96-100.pt"}
    assert stem(few) == "frontier-g7.5"
    few.model = "shapes-flow"
    assert kept(few, row, 0).name == "shapes-flow-ddim-50-g7.5-0-48.pt"


def test_another_reference_shares_the_pictures_of_the_stock_rows_and_replays_its_own_run(tmp_path):
    asked = ["--out", str(tmp_path), "--guidance", "7.5", "--captions", "48", "--budgets", "10", "--tuned", "t.json"]
    own, other = (
        {row.name: (row, kept(options, row, 0)) for row in chosen(options)}
        for options in (parser().parse_args(asked), parser().parse_args([*asked, "--reference", "dpm-solver++"]))
    )
    row, _ = other["dpm-solver++-karras-20"]
    assert (row.family, row.steps, row.sampler) == ("reference", 20, {"dpm-solver++": {"karras": True}})
    replayed, _ = other["dpm20-trunk-tuned-10"]
    assert (replayed.steps, replayed.sampler, replayed.calls) == (20, row.sampler, 10)
    assert "trunk-tuned-10" in own
    shared = own.keys() & other.keys()
    assert {"limit", "euler-karras-10", "dpm-solver++-karras-10", "leaveout-10"} <= shared
    assert all(own[name] == other[name] for name in shared)
    assert stem(parser().parse_args([*asked, "--reference", "dpm-solver++"])) == "frontier-dpm20-g7.5"


def test_a_reference_of_another_model_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--out", "o", "--model", "shapes-flow", "--reference", "dpm-solver++"])
    assert "--reference dpm-solver++ is of shapes, not shapes-flow" in capsys.readouterr().err


def test_the_distance_to_the_limit_is_told_where_it_was_measured():
    def judged_by_it(one, decibels):
        one["scores"]["limit"] = {"value": decibels, "error": 0.2}
        return one

    stock = [judged_by_it(row("a", "stock", 10, 33, 0.9), 31.0), judged_by_it(row("b", "stock", 10, 32, 0.9), 32.0)]
    own = judged_by_it(row("own", "tuned", 10, 36, 0.9), 34.0)
    pictures = {
        name: Scores({"limit": torch.tensor(values)}, 0.0, torch.zeros(2))
        for name, values in (("b", [31.0, 33.0]), ("own", [33.0, 37.0]))
    }
    own["against_stock"] = {"limit": against_stock(own, stock, pictures)["limit"]}
    assert own["against_stock"]["limit"] == {"row": "b", "value": pytest.approx(3.0), "error": pytest.approx(1.0)}
    record = {
        "settings": {"captions": 2, "first": 0, "guidance": 7.5, "batch": 16},
        "reference": "ddim-50",
        "rows": [
            judged_by_it(row("limit", "limit", 100, 42, 0.9), 54.2),
            judged_by_it(row("ddim-50", "reference", 50, 54, 0.9), 42.0),
            *stock,
            own,
        ],
        "hardware": {"cpu": "a processor"},
        "versions": {"torch": "2", "diffusers": "0"},
    }
    page = "\n".join(markdown(record))
    assert "100 steps of a solver of second order), where DDIM-50 itself is at 42.0 ±0.2 dB" in page
    assert "| 10 | b: 32.0 ±0.2 | 34.0 ±0.2 | +3.0 ±1.0 |" in page
    assert "PSNR to the limit, dB" in page
    assert has_limit(record)
    assert has_limit(None)
    assert not has_limit({"rows": [row("a", "stock", 10, 33, 0.9)]})


def test_chosen_rows_are_judged_on_captions_that_nothing_was_chosen_by(tmp_path):
    figures = [row("ddim-50", "reference", 50, 54, 0.9)]
    for name, decibels, accuracy in (
        ("euler-karras-10", 33, 0.7),
        ("ddim-trailing-10", 32, 0.8),
        ("ddim-leading-10", 31, 0.9),
        ("unipc-leading-10", 30, 0.6),
    ):
        figures.append(row(name, "stock", 10, decibels, accuracy))
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"rows": figures}))
    asked = ["--out", "o", "--first", "48", "--captions", "96", "--budgets", "10", "--guidance", "7.5"]
    options = parser().parse_args([*asked, "--contenders", str(path), "--only", "euler", "ddim", "unipc"])
    assert [one.name for one in chosen(options)] == [
        "ddim-50",
        "limit",
        "ddim-trailing-10",
        "ddim-leading-10",
        "euler-karras-10",
    ]
    assert list(starts(options)) == [48, 96]
    assert kept(options, next(chosen(options)), 96).name == "ddim-50-g7.5-96-144.pt"
    assert stem(options) == "frontier-g7.5-unseen"


def test_two_rows_a_score_are_contenders_for_every_number_of_calls():
    """By the other scores all are equal: of equal ones the nearest."""
    few = [row("a", "stock", 10, 30, 0.9), row("b", "stock", 10, 31, 0.8), row("c", "stock", 10, 32, 0.7)]
    few += [row("d", "stock", 10, 29, 0.6), row("e", "stock", 8, 20, 0.1), row("own", "tuned", 10, 40, 1.0)]
    assert contenders({"rows": few}) == {"a", "b", "c", "e"}


def test_psnr_is_of_every_picture():
    base = torch.zeros(2, 3, 4, 4)
    assert psnr(torch.stack([base[0] + 0.1, base[1]]), base).tolist() == pytest.approx([20.0, 54.15], abs=0.01)


def test_spectra_and_texture_are_better_when_they_are_lower():
    few = [row("a", "stock", 10, 30, 0.9), row("b", "stock", 10, 30, 0.8)]
    for score in ("texture", "spectra"):
        few[0]["scores"][score]["value"], few[1]["scores"][score]["value"] = 3.0, 2.0
        assert best(few, "stock", 10, score)["name"] == "b"
    assert best(few, "stock", 10, "accuracy")["name"] == "a"


def row(name, family, calls, decibels, accuracy, **more):
    scores = {"psnr": decibels, "accuracy": accuracy, "texture": 2.0, "spectra": 0.1}
    estimates = {score: {"value": value, "error": 0.01} for score, value in scores.items()}
    change = {"accuracy": {"value": accuracy - 0.9, "error": 0.02}}
    facts = {"psnr_median": decibels, "flipped": 0.0, "gflops": 1.0, "denoiser_s": 0.1 * calls, "interleaved_s": None}
    return {
        "name": name,
        "family": family,
        "calls": calls,
        "scores": estimates,
        "against_reference": change,
        "against_stock": {},
        **facts,
        **more,
    }


def scored(decibels, right):
    pictures = {"psnr": torch.tensor(decibels), "accuracy": torch.tensor(right), "texture": torch.ones(len(right))}
    return Scores(pictures, 0.5, torch.tensor([0.4, 0.6]))


def test_a_row_is_compared_with_the_best_stock_row_of_as_many_calls_by_each_score():
    rows = [row("a", "stock", 10, 30, 0.9), row("b", "stock", 10, 32, 0.8), row("c", "stock", 12, 40, 1.0)]
    assert best(rows, "stock", 10, "psnr")["name"] == "b"
    assert best(rows, "stock", 10, "accuracy")["name"] == "a"
    assert best(rows, "stock", 8, "psnr") is None
    assert best([*rows, row("d", "stock", 10, 31, 0.9)], "stock", 10, "accuracy")["name"] == "d", (
        "of equal ones the nearest"
    )
    own = row("own", "tuned", 10, 34, 0.85)
    pictures = {
        "a": scored([30.0, 30.0], [True, True]),
        "b": scored([31.0, 33.0], [True, False]),
        "own": scored([33.0, 37.0], [False, True]),
    }
    found = against_stock(own, rows, pictures)
    assert found["psnr"]["row"] == "b"
    assert found["psnr"]["value"] == pytest.approx(3.0)  # 2 and 4 dB
    assert found["psnr"]["error"] == pytest.approx(1.0)  # standard deviation sqrt(2), by the root of two pictures
    assert (found["accuracy"]["row"], found["accuracy"]["value"]) == ("a", pytest.approx(-0.5))
    assert found["spectra"]["value"] == 0


def test_rows_that_are_kept_are_of_the_same_captions_and_keep_their_bar(tmp_path):
    stock = {"psnr": {"row": "a", "value": 4.0, "error": 0.1}}
    held = {"model": "shapes", "settings": {"captions": 48}, "reference": "ddim-50"}
    kept = [row("a", "stock", 10, 30, 0.9), row("own", "tuned", 10, 34, 0.9, against_stock=stock)]
    path, record = tmp_path / "held.json", dict(held)
    held["rows"] = kept
    again = [row("own", "tuned", 10, 35, 0.9)]
    assert [one["name"] for one in earlier_rows(path, held, record, again)] == ["a"]
    with pytest.raises(ConfigError, match="is of settings"):
        earlier_rows(path, held, {**record, "settings": {"captions": 96}}, again)
    check_bar([row("b", "stock", 10, 29, 0.9)], kept)
    with pytest.raises(ConfigError, match="own has to be compared with b: generate both again"):
        check_bar([row("b", "stock", 10, 31, 0.9)], kept)


def test_rows_that_are_added_have_no_times_as_they_ran_at_another_one():
    before = {"rows": [{"name": "ddim-20", "denoiser_s": 0.5, "seconds": 0.6}]}
    assert times("ddim-20", before) == {"denoiser_s": 0.5, "seconds": 0.6}
    assert times("ddim-10", before) == {"denoiser_s": None, "seconds": None}


def test_seconds_in_turns_are_those_of_one_run(tmp_path):
    """A row that is generated again keeps them until all are timed again, in turns."""
    before = {"rows": [row("a", "tuned", 10, 30, 0.9, interleaved_s=0.5), row("b", "stock", 10, 30, 0.9)]}
    assert interleaved(tmp_path / "none.json", before) == {"a": 0.5}
    assert interleaved(tmp_path / "none.json", None) == {}
    (tmp_path / "seconds.json").write_text('{"a": 0.25}')
    assert interleaved(tmp_path / "seconds.json", before) == {"a": 0.25}
    assert both("one", "other") == "one and other"
    assert both("one and other", "one") == "one and other"


def test_targets_are_met_or_missed_by_so_much(tmp_path):
    reference = row("ddim-50", "reference", 50, 54, 0.9)
    stock = {"psnr": {"row": "s", "value": 1.5, "error": 0.1}, "accuracy": {"row": "s", "value": -0.02, "error": 0.01}}
    stock |= {"texture": {"row": "s", "value": 0.3, "error": 0.1}, "spectra": {"row": "s", "value": 0.1, "error": 0.1}}
    own = row("own", "tuned", 10, 32.4, 0.92, against_stock=stock, interleaved_s=1.15)
    record = {
        "settings": {"captions": 2, "first": 0, "guidance": 7.5, "batch": 16},
        "reference": "ddim-50",
        "rows": [reference, row("s", "stock", 10, 30.9, 0.94), own],
        "hardware": {"cpu": "a processor"},
        "versions": {"torch": "2", "diffusers": "0"},
    }
    record["targets"] = judged(record)
    margins = {one["target"]: (one["met"], round(one["margin"], 6)) for one in record["targets"]}
    assert margins == {
        "PSNR at least 33 dB": (False, -0.6),
        "accuracy not below the reference's": (True, 0.02),
        "PSNR not below the best stock row's": (True, 1.5),
        "accuracy not below the best stock row's": (False, -0.02),
        "texture not worse than the best stock row's by twice the error": (False, -0.1),
        "spectra not worse than the best stock row's by twice the error": (True, 0.1),
        "seconds within 10 % of calls x one call": (False, -0.05),
    }
    page = "\n".join(markdown(record))
    assert "3 of 7 met" in page
    assert "| 10 | 33 | 32.4 ±0.0 | missed by 0.6 | -0.020 ±0.010 | +0.30 ±0.10 | +0.10 ±0.10 | +0.020 ±0.020 |" in page
    assert "| 10 | 32.4, 0.920, 1 | 30.9, 0.940, 1 |" in page
    assert "- 10 calls: PSNR at least 33 dB: missed by 0.6" in page
    assert "s: 30.9 ±0.0, 0.940 ±0.010" in page
    assert "+1.5 ±0.1 dB, -0.020 ±0.010" in page
    save(record, tmp_path / "frontier-g7.5")
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"frontier-g7.5.{kind}" for kind in ("json", "md", "png")]


def test_the_legend_names_every_line_once_and_covers_none():
    bed = [row("ddim-50", "reference", 50, 54, 0.9), row("a", "stock", 10, 30, 0.9), row("b", "stock", 20, 45, 0.9)]
    figure = drawn({"reference": "ddim-50", "rows": [*bed, row("c", "tuned", 10, 54, 0.2)]})
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["trunk, tuned", "fewer steps", "DDIM-50"]
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_tuning_takes_the_sampler_and_the_steps_of_the_model_that_is_named():
    for model, sampler, steps, file in (
        ("shapes", "ddim", 50, "tuning.json"),
        ("shapes-flow", "flow-euler", 28, "tuning-shapes-flow.json"),
        ("stabilityai/other", "ddim", 50, "tuning-other.json"),
    ):
        options = tuning.filled(tuning.parser().parse_args(["--model", model]))
        assert (options.sampler, options.steps, options.out.name) == (sampler, steps, file)
    assert tuning.filled(tuning.parser().parse_args(["--model", "shapes-flow", "--steps", "9"])).steps == 9
