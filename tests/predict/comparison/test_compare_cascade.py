"""`fdplug compare` and `generate` with three pipelines in a row, and the suite that needs them."""

from __future__ import annotations

import json

import pytest

from fdplug.commands.compare import main
from fdplug.commands.generate import main as generate
from fdplug.errors import ConfigError
from fdplug.predict.comparison.variant import Variant, baseline_of
from fdplug.predict.generation.config import GenerationConfig
from fdplug.suites.suite import load
from tests.predict import cascades
from tests.predict.conftest import document, opened, written

KEYS = {"policy": {"uniform": {"interval": 2}}, "injector": "none"}
PLAIN = {"name": "plain", "steps": 4}
FAST = {"name": "fast", "steps": 4, "propagation": KEYS, "then": [{"propagation": KEYS}]}
LAST = {"name": "last", "steps": 4, "then": [{}, {"propagation": KEYS}]}
SHORT = {"name": "short", "steps": 4, "then": [{"steps": 2}, {"steps": 2}]}
STAGES = GenerationConfig(then=[{"model": "a/b", "steps": 3}, {"model": "a/c", "steps": 4}])


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    return cascades.save(tmp_path_factory.mktemp("if"))


def options(cascade, folder, out, *more):
    model, then = cascade
    written(folder, document())
    chosen = ["--model", model, "--then", json.dumps(then), "--size", "8", "--limit", "3", "--batch-size", "1"]
    rounds = ["--timed-rounds", "1", "--feature-changes", "0", "--scores", "none"]
    return [*chosen, *rounds, "--annotations", str(folder / "captions.json"), "--out", str(out), *more]


@pytest.mark.slow
def test_stages_have_settings_of_their_own_and_costs_add_up(cascade, tmp_path, capsys):
    out = tmp_path / "out"
    given = options(cascade, tmp_path, out, "--variants", *map(json.dumps, (PLAIN, FAST, LAST, SHORT)))
    assert main(given) == 0
    rows = {row["name"]: row for row in json.loads((out / "results.json").read_text())["variants"]}
    assert [row["steps"] for row in rows.values()] == [11, 11, 11, 8]
    assert [row["num_key_steps"] for row in rows.values()] == [11, 8, 9, 8]
    assert rows["fast"]["key_steps"] == [0, 2, 4, 6, 7, 8, 9, 10]
    assert [row["compared_with"] for row in rows.values()] == [None, "plain", "plain", "plain"]
    for row in rows.values():
        assert row["gflops_per_image"] == pytest.approx(sum(one["gflops_per_image"] for one in row["stages"]))
        assert sum(count for _, count in row["passes"]) >= row["steps"]
    assert rows["last"]["stages"][0]["gflops_per_image"] == rows["plain"]["stages"][0]["gflops_per_image"]
    assert rows["last"]["stages"][2]["gflops_per_image"] < rows["plain"]["stages"][2]["gflops_per_image"]
    assert rows["fast"]["stages"][1]["settings"]["propagation"]["policy"] == {"uniform": {"interval": 2}}
    said = " ".join(capsys.readouterr().out.split())
    assert "fast, one pipeline after the other: IFPipeline 4 steps, 2 of them key steps" in said
    assert opened(out / "images" / "fast" / "000000000003.png").shape == (32, 32, 3)
    before = (out / "results.json").read_text()
    assert main(given) == 0  # goes on: nothing is left to generate
    again = json.loads((out / "results.json").read_text())["variants"]
    assert [row["stages"] for row in again] == [row["stages"] for row in json.loads(before)["variants"]]


@pytest.mark.slow
def test_the_suite_about_deepfloyd_runs_on_any_cascade(cascade, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(options(cascade, tmp_path, out, "--suite", "table1-if", "--limit", "1")) == 0
    results = json.loads((out / "results.json").read_text())
    assert [row["steps"] for row in results["variants"]] == [225, 225, 100, 100]
    # at half the length stage I keeps 0-4, 43-49, and of the multiples of 5 the halves in between: 28
    assert [row["num_key_steps"] for row in results["variants"]] == [225, 40 + 50 + 11, 100, 28 + 25 + 10]
    assert "not run" not in str(results["published"]["body"])
    assert "different models" in " ".join(results["published"]["notes"])
    assert "NOT RUN" not in capsys.readouterr().out


def test_the_suite_says_which_models_it_is_about(tmp_path):
    suite = load("table1-if")
    assert suite.stages_behind("DeepFloyd/IF-I-XL-v1.0") == suite.then
    assert suite.stages_behind("shapes") == suite.stand_ins["shapes"]
    assert "STAND-INS: shapes goes on with its own image" in suite.stand_in_note("shapes")[0]
    assert load("table5").stages_behind("shapes") is None
    with pytest.raises(ConfigError, match=r"table1-if is about 3 pipelines in a row, .* as in --then '\[\{model: Deep"):
        main(["--suite", "table1-if", "--model", "shapes-flow", "--out", str(tmp_path / "out")])


def test_variants_of_a_cascade_say_what_differs():
    plain, fast, last, short = (Variant(**one).of_run(STAGES) for one in (PLAIN, FAST, LAST, SHORT))
    assert (plain.all_steps, short.all_steps) == ((4, 3, 4), (4, 2, 2))
    assert [one.is_plain for one in (plain, fast, last, short)] == [True, False, False, True]
    variants = [plain, fast, last, short]
    assert [one and one.name for one in (baseline_of(one, variants) for one in variants)] == [
        *(None, "plain", "plain", "plain")
    ]
    other = Variant(name="other", steps=4, then=[{"sampler": "ddpm"}]).of_run(STAGES)
    assert baseline_of(other, [plain, other]) is None


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ([{}] * 3, "has settings for 3 stages behind the first, the run has 2: name their models in --then"),
        ([{"model": "x/y"}], "the model of a stage is the whole run's: give it in --then"),
        ([{"stepz": 4}], "no setting of a stage 'stepz'"),
        ({"steps": 4}, "then is a list of mappings"),
        (["x"], "a stage of then is a mapping of settings"),
    ],
)
def test_impossible_stages_of_a_variant_are_refused(then, message):
    with pytest.raises(ConfigError, match=message):
        Variant(name="x", then=then).of_run(STAGES)


def test_one_image_by_three_pipelines(cascade, tmp_path, capsys):
    model, then = cascade
    out = tmp_path / "image.png"
    given = ["--model", model, "--then", json.dumps(then), "--size", "8", "--steps", "4", "--injector", "none"]
    given += ["--policy", "{uniform: {interval: 2}}"]
    assert generate(["a red circle", *given, "--out", str(out)]) == 0
    assert "11 steps, 9 of them key steps" in capsys.readouterr().out
    assert opened(out).shape == (32, 32, 3)
    assert generate(["a red circle", *given, "--compare", "--out", str(out)]) == 0
    assert "PSNR" in capsys.readouterr().out
