"""`fdplug optimize` as a user types it: a preset that other commands take, and mistakes in one line."""

from __future__ import annotations

import json

import pytest

from fdplug.commands import compare, optimize, predict
from fdplug.errors import ConfigError
from fdplug.optimization import optimizer
from fdplug.optimization.measuring.price import Prices, Replay
from fdplug.presets import load
from tests.optimization.conftest import few_samplers

PRICES = Prices(0.01, 0.01, 1.0, {f'"{part}"': Replay(0.1, ((2, 0.011), (8, 0.02))) for part in ("trunk", "encoder")})


@pytest.fixture
def command(model, tmp_path, monkeypatch):
    """Run the command on a tiny model, with few samplers and prices from a table."""
    few_samplers(monkeypatch)
    monkeypatch.setattr(optimizer, "measured", lambda *given, **more: PRICES)
    monkeypatch.chdir(tmp_path)
    prompts = tmp_path / "mine.txt"
    prompts.write_text("a red circle\na blue square\ngreen\nsmall\na\nred on gray\n")
    common = [
        "--model",
        model,
        "--scores",
        "none",
        "--prompts",
        str(prompts),
        "--steps",
        "4",
        "--trials",
        "2",
        "--batch-size",
        "2",
    ]
    return lambda *options: optimize.main([*common, *options])


@pytest.mark.slow
def test_the_preset_is_written_and_taken_by_predict_and_compare(command, model, annotations, tmp_path, capsys):
    assert command("--budget", "2calls", "--out", "fast.yaml") == 0
    said = capsys.readouterr().out
    preset = load("fast.yaml")
    assert "take " in said
    assert "4 held-out prompts" in said
    assert "fast.work/report.html" in said
    assert (tmp_path / "fast.work" / "report.html").is_file()
    assert preset.evidence == "measured"
    assert preset.made_for.model == model
    assert "4 held-out prompts" in preset.model_card
    out = tmp_path / "compared"
    common = ["--model", model, "--annotations", annotations, "--scores", "none", "--limit", "2", "--batch-size", "2"]
    assert compare.main([*common, "--variants", "ddim-4", "fast.yaml", "--out", str(out)]) == 0
    rows = json.loads((out / "results.json").read_text())["variants"]
    assert rows[1]["name"] == "fast"
    assert rows[1]["steps"] == preset.settings.steps
    data = [f"--data.annotations={annotations}", "--data.limit=1", "--writer.folder=drawn"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    assert predict.main([f"--model.model={model}", "--model.preset=fast.yaml", *data, *quiet]) == 0
    assert json.loads((tmp_path / "drawn" / "run.json").read_text())["settings"]["steps"] == preset.settings.steps


@pytest.mark.slow
def test_several_budgets_write_a_preset_and_a_page_each(command, tmp_path, capsys):
    assert command("--budget", "2calls", "3calls", "2calls", "--out", "fast.yaml") == 0
    assert capsys.readouterr().out.count("\ntake ") == 2
    for budget in ("2calls", "3calls"):
        assert load(f"fast-{budget}.yaml").about.endswith(f" for budget {budget}")
        assert (tmp_path / "fast.work" / f"report-{budget}.html").is_file()
    assert not (tmp_path / "fast.yaml").exists()


def test_ctrl_c_says_what_is_best_so_far_and_ends_with_130(command, monkeypatch, capsys):
    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(optimizer.Optimizer, "_searched", interrupted)
    assert command("--budget", "2calls") == 130
    said = capsys.readouterr().err
    assert "fdplug optimize: interrupted; best so far: " in said
    assert "fast.work/best-so-far.yaml (not judged on held-out prompts); the same command goes on from here" in said
    assert load("fast.work/best-so-far.yaml").evidence == "unjudged"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "2"), "no budget '2': write"),
        (("--budget", "2x", "3"), "no budget '3': write"),
        (("--time", "20"), "no duration '20': write 90s"),
        (("--out", "fast.json"), r"--out is 'fast\.json', the name of a \.yaml file is needed"),
        (("--out", "mine.txt/fast.yaml"), "cannot write to the folder mine.txt"),
        (("--calibration", "1"), "--calibration must be a whole number of at least 2, got 1"),
        (("--scores", "beauty"), "no score 'beauty'"),
        (("--maximize", "beauty"), "no score 'beauty' is measured here"),
        (("--sampler", "flow-euler"), "sampler 'flow-euler' is not for a model that predicts epsilon"),
    ],
)
def test_mistakes_are_refused_in_one_line(command, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        command(*options)
    assert "\n" not in str(caught.value)
