"""`fdplug predict` end to end: in process, and as a command for exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fdplug.commands import ready_configs
from fdplug.commands.predict import main
from fdplug.errors import ConfigError, DataError, FdplugError, PipelineError
from tests.predict.conftest import document, opened, written

# The tiny text encoder reads 16 tokens only.
pytestmark = pytest.mark.filterwarnings("ignore:.*tokenizer reads 16 tokens:fdplug.errors.FdplugWarning")


@pytest.fixture
def arguments(model, annotations, tmp_path):
    return [
        f"--model.model={model}",
        "--model.steps=4",
        f"--data.annotations={annotations}",
        f"--writer.folder={tmp_path / 'out'}",
        "--trainer.accelerator=cpu",
        "--trainer.devices=1",
        "--trainer.enable_progress_bar=false",
    ]


@pytest.fixture
def unloaded(monkeypatch):
    """Fail if a model is loaded."""
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )


def test_a_configuration_file_gives_five_images(arguments, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: {sampler: dpm-solver++, propagation: {policy: {uniform: {interval: 2}}}, seed: 3}\n"
        "data: {batch_size: 2}\n"
    )
    assert main(["--config", str(config), *arguments]) == 0
    out = tmp_path / "out"
    images = sorted(path.name for path in out.glob("*.png"))
    assert images == [f"{7 * index + 3:012d}.png" for index in range(5)]
    assert opened(out / images[0]).shape == (16, 16, 3)
    values = json.loads((out / "metrics.json").read_text())
    assert values["key_steps"] == 2
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["model"]["propagation"]["policy"] == {"uniform": {"interval": 2}}
    assert saved["model"]["sampler"] == "dpm-solver++"
    assert saved["return_predictions"] is False
    printed = capsys.readouterr().out
    assert f"Written to {out}: 5 images (000000000003.png ... 000000000031.png)\n" in printed
    assert "  manifest.jsonl, run.json, metrics.json, metrics.csv, config.yaml\n" in printed
    assert {path.name for path in out.iterdir()} - set(images) == {
        ".lock",
        "manifest.jsonl",
        "run.json",
        "metrics.json",
        "metrics.csv",
        "config.yaml",
        "hparams.yaml",
    }


def test_a_saved_configuration_repeats_the_run(arguments, tmp_path):
    assert main([*arguments, "--model.propagation.policy={uniform: {interval: 3}}"]) == 0
    first = (tmp_path / "out" / "000000000003.png").read_bytes()
    again = tmp_path / "again"
    assert main(["--config", str(tmp_path / "out" / "config.yaml"), f"--writer.folder={again}"]) == 0
    assert (again / "000000000003.png").read_bytes() == first


@pytest.mark.parametrize("name", ready_configs.names())
def test_every_ready_configuration_is_valid(name, arguments, annotations, unloaded, tmp_path, capsys):
    if "PromptFile" in Path(ready_configs.find(name)).read_text():
        arguments[arguments.index(f"--data.annotations={annotations}")] = f"--data.prompts={tmp_path / 'prompts.txt'}"
        (tmp_path / "prompts.txt").write_text("a red circle\n")
    with pytest.raises(SystemExit) as finished:
        main(["--config", name, *arguments, "--print_config"])
    assert finished.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["callbacks"]
    assert printed["writer"]["folder"] == str(tmp_path / "out")


def test_a_ready_configuration_is_found_by_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ready_configs.find("shapes-ddim50") == ready_configs.find("shapes-ddim50.yaml")
    (tmp_path / "shapes-ddim50.yaml").write_text("{}")
    assert ready_configs.find("shapes-ddim50.yaml") == "shapes-ddim50.yaml"
    with pytest.raises(ConfigError, match=r"no configuration file 'shapes-ddim5.yaml', did you mean 'shapes-ddim50"):
        ready_configs.find("shapes-ddim5.yaml")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model.propagation.policy=unifrom"], "no policy 'unifrom', did you mean 'uniform'"),
        (["--model.propagation.policy={uniform: {intreval: 4}}"], "no option 'intreval', did you mean 'interval'"),
        (["--model.propagation.policy={uniform: {interval: 0}}"], "interval must be a whole number of at least 1"),
        (["--model.propagation.injector={prior: {alpha: -1}}"], "alpha"),
        (["--model.stepz=3"], "no option --model.stepz, did you mean 'model.steps'"),
        (["--model.steps=three"], "steps must be a whole number of at least 1, got 'three'"),
        (["--model.steps=0"], "steps must be a whole number of at least 1, got 0"),
        (["--model.guidance=-1"], "guidance must be a number of at least 0"),
        (["--model.model=./none"], "the model folder none does not exist"),
        (["--data.annotations=none.json"], "cannot read the annotation file none.json"),
        (["--writer.folder=/proc/none"], "cannot write to the folder /proc/none"),
        (["--config=none.yaml"], "no configuration file 'none.yaml'"),
    ],
)
def test_bad_input_is_one_line_before_any_model_is_loaded(arguments, unloaded, extra, message):
    with pytest.raises((ConfigError, DataError, PipelineError), match=message) as caught:
        main([*arguments, *extra])
    assert isinstance(caught.value, FdplugError)
    assert len(str(caught.value).splitlines()) == 1


def test_a_hostile_annotation_file_stops_the_run(arguments, unloaded, tmp_path):
    record = document()
    record["images"][0]["file_name"] = "../../x"
    images = ["--data.annotations", written(tmp_path, record), "--data.real_images", str(tmp_path)]
    with pytest.raises(DataError, match="leaves the image folder; refused"):
        main([*arguments, *images])
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_typo_in_a_file_is_found_as_well(arguments, unloaded, tmp_path):
    config = tmp_path / "typo.yaml"
    config.write_text("model: {propagation: {polcy: paper}}\n")
    with pytest.raises(ConfigError, match=r"^model.propagation: no option 'polcy', did you mean 'policy'"):
        main(["--config", str(config), *arguments])


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("model: {policy: paper}", "write model: {propagation: {policy: ...}}, on the command line"),
        ("model: {injector: none, policy: all}", "propagation: {"),
        ("model: {propagate: false}", "write model: {propagation: null}"),
    ],
)
def test_a_configuration_of_the_flat_form_is_refused_with_the_new_one(arguments, unloaded, tmp_path, text, form):
    config = tmp_path / "flat.yaml"
    config.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(form)) as caught:
        main(["--config", str(config), *arguments])
    assert "\n" not in str(caught.value)


def test_so_is_an_option_of_the_flat_form(arguments, unloaded):
    with pytest.raises(ConfigError, match=r"--model\.propagation\.policy"):
        main([*arguments, "--model.policy=paper"])


def test_processes_that_know_nothing_of_each_other_are_refused(arguments, unloaded, monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=r"torchrun started 2 processes, .* give --trainer.devices 2"):
        main(arguments)


def test_a_changed_setting_is_refused_and_overwrite_begins_anew(arguments, tmp_path):
    assert main([*arguments, "--model.propagation=null"]) == 0
    first = (tmp_path / "out" / "000000000003.png").read_bytes()
    changed = [*arguments, "--model.propagation=null", "--model.seed=1"]
    with pytest.raises(ConfigError, match="begun with other settings: seed 0 -> 1"):
        main(changed)
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["model"]["seed"] == 0
    assert main([*changed, "--overwrite"]) == 0
    assert (tmp_path / "out" / "000000000003.png").read_bytes() != first
    saved = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert "overwrite" not in saved
    assert saved["writer"]["overwrite"] is False
    with pytest.raises(ConfigError, match="give --overwrite on the command line"):
        main([*changed, "--writer.overwrite=true"])


def test_nothing_is_written_elsewhere(arguments, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    assert main([*arguments, "--model.propagation=null", "--trainer.logger=false"]) == 0
    assert not list(home.iterdir())
    assert (tmp_path / "out" / "config.yaml").is_file()


def test_an_interrupt_while_images_are_made_stays_one(arguments, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("fdplug.predict.lightning.module.TextToImage.predict_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            main([*arguments, "--model.propagation=null"])
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning has it ignored


def _command(*arguments):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "fdplug", *arguments], capture_output=True, text=True, env=env, timeout=120
    )


@pytest.mark.slow
def test_the_command_prints_what_it_made_and_no_advert_of_a_library(arguments):
    """Lightning tells of devices that are not there, transformers of packages that nobody asked for."""
    done = _command("predict", *arguments)
    assert done.returncode == 0
    lines = (done.stderr + done.stdout).splitlines()
    unasked = [
        line for line in lines if any(word in line for word in ("Tip", "available: False", "torchvision", "torchao"))
    ]
    assert not unasked


def test_the_command_exits_with_2_and_no_traceback(arguments):
    done = _command("predict", *arguments, "--model.propagation.policy=unifrom")
    assert done.returncode == 2
    assert "did you mean 'uniform'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
