"""`fdplug tune`: one file, used by `fdplug compare` at once, and bad options in one line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fdplug import registry
from fdplug.builtin.tuned import TunedNoise
from fdplug.commands import compare as compare_command
from fdplug.commands import tune as tune_command
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError, DataError
from fdplug.predict.data.captions import read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loading import load_pipeline


@pytest.mark.slow
def test_what_is_tuned_can_be_compared_at_once(model, annotations, tmp_path, capsys):
    file = tmp_path / "tuned.json"
    options = ["--model", model, "--annotations", annotations, "--limit", "2", "--steps", "5", "--key-steps", "2"]
    assert tune_command.main([*options, "--out", str(file)]) == 0
    assert "2 *" in capsys.readouterr().out
    held = json.loads(file.read_text())
    assert held["chosen"] == 2
    assert [len(one["keys"]) for one in held["curve"]] == [1, 2, 3, 4, 5]
    assert held["calibration"]["images"] == [24, 31], "the last captions, so that comparisons judge on others"
    errors = [one["error"] for one in held["curve"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0
    variant = f"{{name: tuned, steps: 5, propagation: {{policy: {{tuned: {{file: '{file}'}}}}}}}}"
    out = tmp_path / "compared"
    common = [
        "--model",
        model,
        "--annotations",
        annotations,
        "--scores",
        "none",
        "--limit",
        "3",
        "--batch-size",
        "3",
    ]
    assert compare_command.main([*common, "--variants", "ddim-5", variant, "--out", str(out)]) == 0
    rows = json.loads((out / "results.json").read_text())["variants"]
    assert rows[1]["key_steps"] == held["curve"][1]["keys"]
    assert rows[1]["gflops_per_image"] == pytest.approx(held["curve"][1]["gflops"])


def test_a_budget_in_gflops_takes_as_many_keys_as_it_pays_for(model, annotations, tmp_path):
    file = tmp_path / "tuned.json"
    options = ["--model", model, "--annotations", annotations, "--limit", "1", "--steps", "4", "--out", str(file)]
    assert tune_command.main(options) == 0
    curve = json.loads(file.read_text())["curve"]
    assert tune_command.main([*options, "--gflops", str(curve[2]["gflops"] * 1.001)]) == 0
    assert json.loads(file.read_text())["chosen"] == 3
    with pytest.raises(ConfigError, match="but one key step takes"):
        tune_command.main([*options, "--gflops", "1e-9"])


def test_a_budget_in_seconds_is_measured(model, annotations, tmp_path, capsys):
    file = tmp_path / "tuned.json"
    options = ["--model", model, "--annotations", annotations, "--limit", "1", "--steps", "4", "--out", str(file)]
    assert tune_command.main([*options, "--seconds", "100"]) == 0
    held = json.loads(file.read_text())
    assert held["chosen"] == 4, "everything takes less"
    timed = {count: one["seconds"] for count, one in enumerate(held["curve"], 1) if one["seconds"] is not None}
    assert set(timed) == {1, 3, 4}, "by bisection"
    assert all(0 < seconds < 100 for seconds in timed.values())
    assert f"{timed[3]:.3g}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"--seconds is 1e-09, but one key step takes"):
        tune_command.main([*options, "--seconds", "1e-9"])


def test_a_floor_takes_the_fewest_keys_that_hold_it_and_says_what_was_measured(model, annotations, tmp_path, capsys):
    """Every count is run here too, and its PSNR computed by hand."""
    file = tmp_path / "tuned.json"
    common = ["--model", model, "--annotations", annotations, "--limit", "2", "--steps", "5", "--out", str(file)]
    assert tune_command.main([*common, "--key-steps", "1", "--injector", "none"]) == 0
    curve = json.loads(file.read_text())["curve"]
    pipe, captions = load_pipeline(model), read_captions(annotations)[-2:]
    generation = GenerationConfig(steps=5)
    pipe.scheduler = registry.build("sampler", "ddim").build(pipe.scheduler.config)
    plain = run(pipe, captions, generation).images
    quality = []
    for one in curve:
        policy = "all" if len(one["keys"]) == 5 else {"explicit": {"steps": one["keys"]}}
        settings = PropagationConfig(policy=policy, injector="none")
        changed = run(pipe, captions, generation, settings).images.numpy().astype(float) - plain.numpy()
        errors = np.square(changed).mean((1, 2, 3))
        quality.append(float(np.mean(10 * np.log10(255**2 / errors))) if errors.all() else math.inf)
    floor = (min(quality) + max(one for one in quality if one < float("inf"))) / 2
    assert tune_command.main([*common, "--psnr", str(floor), "--injector", "none"]) == 0
    held = json.loads(file.read_text())
    chosen = held["chosen"]
    assert quality[chosen - 1] >= floor > quality[chosen - 2]
    assert held["curve"][chosen - 1]["psnr"] == pytest.approx(quality[chosen - 1], abs=1e-3) or chosen == 5
    assert held["calibration"]["runs"] > 5 + 4
    assert f"{chosen} *" in capsys.readouterr().out


@pytest.mark.slow
def test_refinement_and_noise_are_measured_and_written(model, annotations, tmp_path, capsys):
    file = tmp_path / "tuned.json"
    common = ["--model", model, "--annotations", annotations, "--limit", "2", "--steps", "6", "--out", str(file)]
    assert tune_command.main([*common, "--key-steps", "3", "--injector", "tune", "--refine", "12"]) == 0
    held = json.loads(file.read_text())
    choice, noise = held["curve"][2], held["noise"]
    assert len(choice["keys"]) == 3
    assert choice["measured"] > 0
    assert noise["without"] == pytest.approx(choice["measured"])
    assert noise["error"] <= noise["without"]
    assert "Prior noise" in capsys.readouterr().out
    TunedNoise(str(file))


def test_a_floor_that_noise_forbids_is_refused(model, annotations, tmp_path):
    common = ["--model", model, "--annotations", annotations, "--limit", "1", "--steps", "4"]
    with pytest.raises(ConfigError, match="is not reached even with every step a key step"):
        tune_command.main([*common, "--psnr", "200", "--out", str(tmp_path / "tuned.json")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key-steps", "9", "--steps", "5"], "--key-steps is 9, a number from 1 to the 5 steps is needed"),
        (
            ["--key-steps", "2", "--gflops", "3"],
            "one of --key-steps, --gflops, --seconds, --psnr, not --key-steps and --gflops",
        ),
        (["--psnr", "-1"], "--psnr must be a number of at least 0, got -1"),
        (["--seconds", "-1"], "--seconds must be a number of at least 0, got -1"),
        (["--injector", "noise"], "no injector for tuning 'noise'"),
        (["--part", "trunk", "--injector", "tune"], "with --part trunk there is no noise to tune"),
        (["--key-steps", "3", "500"], "--key-steps is 500, a number from 1"),
        (["--refine", "-1"], "--refine must be a whole number of at least 0, got -1"),
        (["--limit", "0"], "--limit must be a whole number of at least 1, got 0"),
        (["--out", "x.txt"], "the name of a .json file is needed"),
        (["--steps", "0"], "steps must be a whole number of at least 1, got 0"),
        (["--sampler", "dimm"], "did you mean 'ddim'"),
    ],
)
def test_bad_options_are_one_line_before_any_model_is_loaded(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        tune_command.main(arguments)


def test_a_missing_annotation_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"cannot read the annotation file none\.json"):
        tune_command.main(["--annotations", "none.json"])
