"""Data modules by their short names on the command line and in YAML."""

from __future__ import annotations

import pytest
import yaml

from fdplug.commands.predict import main
from fdplug.errors import ConfigError, DataError


@pytest.fixture
def arguments(model, tmp_path):
    return [
        f"--model.model={model}",
        "--model.steps=10",
        f"--writer.folder={tmp_path / 'out'}",
        "--trainer.accelerator=cpu",
        "--trainer.devices=1",
        "--trainer.enable_progress_bar=false",
    ]


def _settings(arguments, capsys):
    with pytest.raises(SystemExit) as finished:
        main([*arguments, "--print_config"])
    assert finished.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)["data"]


def test_coco_captions_are_the_default_in_both_forms(arguments, tmp_path, capsys):
    plain = _settings([*arguments, "--data.annotations=x.json", "--data.limit=3"], capsys)
    assert plain["class_path"].endswith(".CocoCaptions")
    assert (plain["init_args"]["annotations"], plain["init_args"]["limit"]) == ("x.json", 3)
    config = tmp_path / "run.yaml"
    config.write_text("data: {annotations: x.json}\n")
    short = _settings(["--config", str(config), *arguments, "--data.limit=3"], capsys)
    config.write_text("data: {class_path: CocoCaptions, init_args: {annotations: x.json}}\n")
    assert short == _settings(["--config", str(config), *arguments, "--data.limit=3"], capsys)


def test_others_are_chosen_by_one_short_name(arguments, capsys):
    for name, option in (("PartiPrompts", "prompts"), ("PromptFile", "prompts"), ("ClassLabels", "names")):
        chosen = _settings([*arguments, f"--data={name}", f"--data.{option}=x.tsv", "--data.limit=2"], capsys)
        assert chosen["class_path"].endswith(f".{name}")
        assert (chosen["init_args"][option], chosen["init_args"]["limit"]) == ("x.tsv", 2)


def test_images_of_a_prompt_file_are_generated(arguments, tmp_path, capsys):
    (tmp_path / "p.txt").write_text("a red circle\na green square\na blue circle\n")
    assert main([*arguments, "--data=PromptFile", f"--data.prompts={tmp_path / 'p.txt'}", "--data.limit=2"]) == 0
    assert "PromptFile: 2 of 3 captions, selection " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["000000000000.png", "000000000001.png"]


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        (
            ["--data.anotations=3"],
            ConfigError,
            "data of CocoCaptions: no option 'anotations', did you mean 'annotations'",
        ),
        (["--data.limit=x"], ConfigError, "data.limit of CocoCaptions must be a whole number, or null, got 'x'"),
        (["--data=Parti"], ConfigError, "no data module 'Parti'; there are CocoCaptions, PartiPrompts, PromptFile"),
        (["--data=PartiPrompts"], ConfigError, "data of PartiPrompts: prompts must be given"),
        (["--data=json.JSONDecoder"], ConfigError, "no data module 'json.JSONDecoder'"),
        (["--data=PromptFile", "--data.prompts=none.txt"], DataError, "cannot read the prompt file none.txt"),
        (["--data=ClassLabels", "--data.classes=[cat]"], ConfigError, "no class 'cat': give `names`"),
    ],
)
def test_what_is_wrong_with_the_data_is_one_line(arguments, monkeypatch, extra, error, message):
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    with pytest.raises(error, match=message) as caught:
        main([*arguments, *extra])
    assert len(str(caught.value).splitlines()) == 1
