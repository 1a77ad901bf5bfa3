"""The published tables as data: every variant is valid, and figures stand beside the right row."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from fdplug.commands import compare
from fdplug.commands.compare import main
from fdplug.commands.options.compare import parser
from fdplug.errors import ConfigError
from fdplug.policies import Schedule
from fdplug.predict.comparison.table import print_texts, to_markdown
from fdplug.predict.comparison.variant import read_variants
from fdplug.registry import build
from fdplug.suites.published import beside
from fdplug.suites.suite import NAMES, Line, Suite, load
from tests.predict.conftest import document, model, written  # noqa: F401  the fixture `model`


def _row(name, baseline=None, **values):
    return {"name": name, "compared_with": baseline, "seconds_per_image": 2.0, **values}


SUITE = Suite(
    name="table0",
    title="Table 0",
    setup="a model",
    models=("the/model",),
    rows=(
        Line(variant={"name": "plain"}, published={"fid": 20, "clip": 0.8, "gflops": 100, "seconds": 4}),
        Line(variant={"name": "fast"}, published={"fid": 21, "clip": 0.7, "gflops": 75, "seconds": 3}),
        Line(variant={"name": "odd"}, needs={"transform": "none-such", "distribution": "d"}, published={"gflops": 50}),
        Line(name="video", not_run="no text", published={"fid": 5.5}),
    ),
)
ROWS = [
    _row("plain", fid=30.0, clip_score=32.0, gflops_per_image_paper_convention=8.0),
    _row("fast", "plain", fid=31.0, clip_score=30.0, gflops_per_image_paper_convention=6.0),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_is_one_that_compare_runs(name):
    suite = load(name)
    variants = read_variants(suite.variants)
    assert [variant.name for variant in variants] == [line.label for line in suite.rows if not line.obstacle]
    assert variants[0].propagation is None, "the first row is the baseline"
    assert all(variant.steps is not None for variant in variants)
    labels = [line.label for line in suite.rows]
    assert len(set(labels)) == len(labels)
    assert all(line.against in ("", *labels) for line in suite.rows)


def test_the_published_ftc_follows_from_the_other_columns():
    for line in load("table5").rows:
        figures = line.published
        assert figures["fid"] * figures["seconds"] / figures["clip"] == pytest.approx(figures["ftc"], abs=0.1), (
            line.label
        )


def test_published_gflops_follow_from_the_number_of_key_steps():
    """741 GFLOPs a step, 236.6 less at a step that is no key step: within 0.5 % of every row of Table 5."""
    for line in load("table5").rows:
        policy = (line.variant.get("propagation") or {"policy": "all"})["policy"]
        keys = len(build("policy", policy).key_steps(Schedule(tuple(range(50)))))
        assert line.published["gflops"] == pytest.approx(741 * 50 - 236.6 * (50 - keys), rel=0.005), line.label


def test_figures_stand_beside_each_other_with_their_change():
    table = beside(SUITE, ROWS, "the/model")
    assert table["head"][1:5] == ["FID, published", "FID, ours", "CLIP score, published", "CLIP score, ours"]
    body = {cells[0]: dict(zip(table["head"], cells, strict=True)) for cells in table["body"]}
    assert body["fast"]["FID, published"] == "21.00"
    assert body["fast"]["FID, ours"] == "31.00"
    assert body["fast"]["CLIP score, ours"] == "0.750"  # 2.5 x a cosine of 0.30
    assert body["fast"]["GFLOPs, published"] == "75 (-25%)"
    assert body["fast"]["GFLOPs, ours"] == "6 (-25%)"
    assert body["fast"]["total s, published"] == "3.00 (-25%)"
    assert body["fast"]["total s, ours"] == "2"
    assert body["odd"]["GFLOPs, published"] == "50 (-50%)"
    assert body["odd"]["GFLOPs, ours"] == body["video"]["FID, ours"] == "not run"


def test_what_was_not_run_is_said_loudly():
    notes = beside(SUITE, ROWS, "the/model")["notes"]
    assert notes[-2:] == [
        "table0: NOT RUN: odd: transform 'none-such' is not installed: pip install d.",
        "table0: NOT RUN: video: no text.",
    ]
    out = io.StringIO()
    print_texts(beside(SUITE, ROWS, "the/model"), Console(file=out, width=200))
    assert "NOT RUN: video: no text." in out.getvalue()


def test_another_model_is_labelled_as_such():
    assert "different models" not in " ".join(beside(SUITE, ROWS, "the/model")["notes"])
    assert "different models: compare directions" in beside(SUITE, ROWS, "shapes")["notes"][0]


def test_analogues_keep_their_own_names():
    rows = [_row("plain", shapes_fd=300.0, shapes_clip=0.9), _row("fast", "plain", shapes_fd=400.0, shapes_clip=0.8)]
    table = beside(SUITE, rows, "shapes")
    assert table["head"][1:5] == [
        "FID, published",
        "shapes-FD x1000, ours",
        "CLIP score, published",
        "shapes-CLIP, ours",
    ]


def test_our_ftc_is_made_of_our_columns():
    rows = [_row("ddim-50", shapes_fd=300.0, shapes_clip=0.75)]
    table = beside(load("table5"), rows, "shapes")
    assert table["body"][0][-2:] == ["68.1", f"{300 * 2 / 0.75:.1f}"]


def test_names_with_bars_stay_in_their_cell():
    assert to_markdown({"head": ["a", "b"], "body": [["x|y", "1"]]}).splitlines()[-1] == "| x\\|y | 1 |"


def test_a_suite_brings_its_model_and_what_it_generates():
    options = parser().parse_args(["--suite", "table3"])
    compare._take_suite(options)
    assert (options.model, options.annotations) == ("shapes-flow", "shapes-flow-classes")
    assert options.scores == "shapes,shapes-classes"
    other = parser().parse_args(["--suite", "table3", "--model", "a/model", "--annotations", "classes"])
    compare._take_suite(other)
    assert (other.model, other.annotations, other.scores) == ("a/model", "classes", "auto")
    plain = parser().parse_args([])
    compare._take_suite(plain)
    assert plain.model == "shapes"


def test_the_published_key_steps_of_dit_are_166_of_250():
    _, propagated, *fewer = read_variants(load("table3").variants)
    keys = build("policy", propagated.propagation.policy).key_steps(Schedule(tuple(range(250))))
    assert len(keys) == 166
    assert [one.steps for one in fewer] == [50, 28, 14]


def test_suite_or_variants_not_both(tmp_path):
    with pytest.raises(ConfigError, match="give either --suite or --variants"):
        main(["--suite", "table6", "--variants", "ddim-5", "--out", str(tmp_path / "out")])
    with pytest.raises(ConfigError, match="suite must be one of table1, table1-if, table2, table3"):
        main(["--suite", "table7", "--out", str(tmp_path / "out")])


def test_a_plugin_of_any_kind_that_is_missing_is_said():
    line = Line(variant={"name": "odd"}, needs={"part": "none-such", "distribution": "d"}, published={})
    assert line.obstacle == "part 'none-such' is not installed: pip install d"
    assert not Line(variant={"name": "odd"}, needs={"policy": "paper", "distribution": "d"}, published={}).obstacle


def test_a_row_of_ours_alone_has_no_published_figures():
    rows = [_row("plain", fid=30.0), _row("fast", "plain", fid=31.0), _row("ours", "plain", fid=32.0)]
    table = beside(replace(SUITE, rows=(*SUITE.rows, Line(variant={"name": "ours"}, published={}))), rows, "x")
    assert table["body"][-1][:3] == ["ours", "-", "32.00"]


def test_a_suite_is_about_pipelines_with_its_component():
    from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

    suite = replace(SUITE, component="controlnet", model="shapes-controlnet")
    suite.check(StableDiffusionControlNetPipeline)
    SUITE.check(StableDiffusionPipeline)
    message = (
        r"table0 is about pipelines with a controlnet, which StableDiffusionPipeline has not; take --model shapes-c"
    )
    with pytest.raises(ConfigError, match=message):
        suite.check(StableDiffusionPipeline)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not load(name).component])
def test_a_suite_runs_end_to_end(name, model, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setenv("COLUMNS", "400")
    out, suite = tmp_path / "out", load(name)
    behind = [{"pipeline": "StableDiffusionImg2ImgPipeline", "arguments": {"strength": 0.5}}] * len(suite.then)
    options = [
        "--annotations",
        written(tmp_path, document()),
        "--limit",
        "1",
        "--batch-size",
        "1",
        "--feature-changes",
        "0",
        *(["--then", json.dumps(behind)] if behind else []),
    ]
    assert main(["--model", model, *options, "--clip-model", "none", "--suite", name, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    ran = [line for line in suite.rows if not line.obstacle]
    assert [row["name"] for row in results["variants"]] == [line.label for line in ran]
    assert [cells[0] for cells in results["published"]["body"]] == [line.label for line in suite.rows]
    for line, row in zip(ran, results["variants"], strict=True):
        assert (row["propagate"] is None) == ("propagation" not in line.variant)
    for text in (capsys.readouterr().out, (out / "results.md").read_text(), (out / "report.html").read_text()):
        assert suite.title in text
        assert all(line.label in text for line in suite.rows)
        assert text.count("NOT RUN") == len(suite.left_out)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if load(name).component])
def test_a_suite_about_a_component_runs_on_its_own_model(name, tmp_path):
    out, suite = tmp_path / "out", load(name)
    options = ["--limit", "1", "--batch-size", "1", "--timed-rounds", "1", "--feature-changes", "0"]
    assert main(["--suite", name, *options, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["settings"]["model"] == suite.model
    assert [row["name"] for row in results["variants"]] == [line.label for line in suite.rows if not line.obstacle]
