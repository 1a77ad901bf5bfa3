"""Loggers by YAML: what they hold is what `metrics.json` holds."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec

import numpy as np
import pytest
import yaml
from PIL import Image

from fdplug.commands.predict import main
from fdplug.predict.lightning.callbacks.costs import LogCosts
from fdplug.predict.lightning.callbacks.run_page import COMPUTED, sheet, strip

NEEDED = {"tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MLFlowLogger"}


def _run(model, annotations, folder, loggers):
    """`fdplug predict` with a configuration file; returns the numbers."""
    config = folder / "run.yaml"
    trainer = {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "logger": loggers}
    content = {
        "model": {"model": model, "steps": 2, "propagation": None},
        "data": {"annotations": annotations, "limit": 2, "batch_size": 2},
        "writer": {"folder": str(folder / "out")},
        "trainer": {key: value for key, value in trainer.items() if value is not None},
    }
    config.write_text(yaml.safe_dump(content))
    assert main(["--config", str(config)]) == 0
    return json.loads((folder / "out" / "metrics.json").read_text())


def _needs(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def test_csv_is_the_default(model, annotations, tmp_path):
    values = _run(model, annotations, tmp_path, None)
    (row,) = csv.DictReader((tmp_path / "out" / "metrics.csv").read_text().splitlines())
    assert float(row["seconds_per_image"]) == pytest.approx(values["seconds_per_image"])


@_needs("tensorboard")
def test_tensorboard_and_csv_together(model, annotations, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = {"save_dir": str(tmp_path / "logs"), "name": "", "version": ""}
    loggers = [{"class_path": "TensorBoardLogger", "init_args": place}, {"class_path": "CSVLogger", "init_args": place}]
    values = _run(model, annotations, tmp_path, loggers)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    for key in ("seconds_per_image", "denoiser_seconds_per_image"):
        assert events.Scalars(f"cost/{key}")[0].value == pytest.approx(values[key], rel=1e-5)
    tags = events.Tags()
    assert set(tags["images"]) == {"images"}, "nothing was propagated"
    assert "captions/text_summary" in tags["tensors"]
    assert yaml.safe_load((tmp_path / "logs" / "hparams.yaml").read_text())["steps"] == 2
    assert any("_hparams_" in one for one in events.summary_metadata), "runs can be compared by their settings"
    kept = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert kept["model"]["steps"] == 2, "the configuration lies with the images"
    assert not (tmp_path / "logs" / "config.yaml").exists()
    (row,) = csv.DictReader((tmp_path / "logs" / "metrics.csv").read_text().splitlines())
    assert float(row["seconds_per_image"]) == pytest.approx(values["seconds_per_image"])


@_needs("wandb")
def test_weights_and_biases_offline(model, annotations, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = {"save_dir": str(tmp_path), "offline": True, "project": "fdplug"}
    _run(model, annotations, tmp_path, [{"class_path": "WandbLogger", "init_args": options}])
    import wandb

    wandb.finish()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@_needs("mlflow")
@_needs("sqlalchemy")
def test_mlflow_in_a_database(model, annotations, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    options = {"experiment_name": "fdplug", "tracking_uri": uri, "save_dir": str(tmp_path)}
    values = _run(model, annotations, tmp_path, [{"class_path": "MLFlowLogger", "init_args": options}])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("fdplug")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["seconds_per_image"] == pytest.approx(values["seconds_per_image"])


@pytest.mark.parametrize(("package", "name"), NEEDED.items())
def test_a_logger_s_options_are_checked_before_anything_runs(model, annotations, tmp_path, package, name):
    from fdplug.errors import ConfigError

    with pytest.raises(ConfigError, match="no_such_option"):
        _run(model, annotations, tmp_path, [{"class_path": name, "init_args": {"no_such_option": 1}}])
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_key_steps_are_drawn_dark_and_images_side_by_side():
    drawn = np.asarray(strip(5, (0, 3)))
    assert [tuple(drawn[12, step * 14 + 6]) == COMPUTED for step in range(5)] == [True, False, False, True, False]
    red, blue = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    whole = sheet([red, blue, red, blue, blue])
    assert whole.size == (4 * 10 - 2, 2 * 8 - 2)
    assert whole.getpixel((11, 1)) == whole.getpixel((1, 9)) == (0, 0, 255)


def test_standard_errors_have_a_group_of_their_own():
    found = LogCosts().grouped({"fid": 3.0, "fid_se": 0.1})
    assert found == {"cost/fid": 3.0, "standard_error/fid": 0.1}
