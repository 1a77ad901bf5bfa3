"""The Lightning parts together, without the command line."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from fdplug.errors import ConfigError, DataError, PipelineError, UnknownPluginError
from fdplug.predict import CocoCaptions, LogFidelity, TextToImage
from fdplug.predict.lightning.callbacks.single_scores import LogShapesScores
from tests.predict.conftest import opened
from tests.predict.predicting import UNIFORM, content, predict, text_to_image


def _pixels(folder):
    return np.stack([opened(path).astype(np.float64) for path in sorted(folder.glob("*.png"))])


def _metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_predict_writes_every_image_and_returns_it(model, annotations, tmp_path):
    module, _, predictions = predict(model, annotations, tmp_path)
    assert sorted(content(tmp_path)) == [f"{7 * index + 3:012d}.png" for index in range(5)]
    images = torch.cat([prediction.images for prediction in predictions])
    assert (_pixels(tmp_path) == images.permute(0, 2, 3, 1).numpy()).all()
    assert module.pipe is None
    assert not list(module.parameters())
    assert module.ledger.key_steps == (0, 2)


def test_without_a_writer_everything_is_generated_and_nothing_kept(model, annotations, tmp_path, monkeypatch):
    predict(model, annotations, tmp_path / "out")
    before = content(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", devices=1)
    module = text_to_image(model, steps=4, policy=UNIFORM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        predictions = trainer.predict(module, CocoCaptions(annotations, batch_size=2))
    assert [one.id for prediction in predictions for one in prediction.generated] == [3, 10, 17, 24, 31]
    images = torch.cat([prediction.images for prediction in predictions])
    assert (_pixels(tmp_path / "out") == images.permute(0, 2, 3, 1).numpy()).all()
    assert content(tmp_path / "out") == before


def test_costs_and_fidelity_are_logged(model, annotations, tmp_path):
    plain, fast = tmp_path / "plain", tmp_path / "fast"
    predict(model, annotations, plain, propagation=None)
    module, _, _ = predict(model, annotations, fast, [LogFidelity(str(plain))])
    values = _metrics(fast)
    errors = np.square(_pixels(plain) - _pixels(fast)).mean((1, 2, 3))
    assert values["psnr"] == pytest.approx(np.mean(10 * np.log10(255**2 / errors)), rel=1e-5)
    assert values["key_steps"] == 2
    assert values["gflops_per_image"] == pytest.approx(module.ledger.gflops() / 1)
    assert 0 < values["denoiser_seconds_per_image"] < values["seconds_per_image"]
    header = (fast / "logs" / "metrics.csv").read_text().splitlines()[0]
    assert {"psnr", "ssim", "seconds_per_image"} <= set(header.split(","))


def test_un_accelerated_runs_have_costs_too(model, annotations, tmp_path):
    module, _, _ = predict(model, annotations, tmp_path, propagation=None)
    assert module.ledger is None
    assert set(_metrics(tmp_path)) == {
        "seconds_per_image",
        "denoiser_seconds_per_image",
        "images",
        "images_not_a_number",
    }


def test_a_missing_baseline_is_refused_before_the_model_is_loaded(model, annotations, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    with pytest.raises(ConfigError, match=r"the baseline folder .* does not exist"):
        predict(model, annotations, tmp_path, [LogFidelity(str(tmp_path / "none"))])
    with pytest.raises(DataError, match=r"has no 000000000003.png"):
        predict(model, annotations, tmp_path, [LogFidelity(str(tmp_path))])
    with pytest.raises(DataError, match="is not of the shapes world"):
        predict(model, annotations, tmp_path, [LogShapesScores()])


def test_nothing_stays_on_the_pipeline_after_an_error(model, annotations, tmp_path, monkeypatch):
    from fdplug.predict.lightning import module as home

    pipes = []

    def load(*args, **kwargs):
        pipes.append(original(*args, **kwargs))
        pipes[0].vae.decode = lambda *a, **k: (_ for _ in ()).throw(RuntimeError("out of paint"))
        return pipes[0]

    original = home.load_pipeline
    monkeypatch.setattr(home, "load_pipeline", load)
    with pytest.raises(RuntimeError, match="out of paint"):
        predict(model, annotations, tmp_path)
    assert "forward" not in vars(pipes[0].unet)
    assert "progress_bar" not in vars(pipes[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ConfigError, "steps must be a whole number of at least 1, got 0"),
        ({"guidance": -1.0}, ConfigError, "guidance must be a number of at least 0"),
        ({"seed": -1}, ConfigError, "seed must be a whole number"),
        ({"size": 0}, ConfigError, "size must be a whole number"),
        ({"dtype": "float23"}, ConfigError, "no dtype 'float23', did you mean 'float32'"),
        ({"policy": "unifrom"}, UnknownPluginError, "no policy 'unifrom', did you mean 'uniform'"),
        ({"policy": {"uniform": {"intreval": 4}}}, ConfigError, "'intreval', did you mean 'interval'"),
        ({"injector": {"prior": {"alpha": -0.1}}}, ConfigError, "alpha"),
        ({"sampler": "dimm"}, UnknownPluginError, "no sampler 'dimm', did you mean 'ddim'"),
        ({"cache": "re-use"}, UnknownPluginError, "no cache 're-use', did you mean 'reuse'"),
        ({"transforms": ["nothing"]}, UnknownPluginError, "no transform 'nothing'"),
        ({"decoding": "both"}, ConfigError, "decoding must be one of auto, parallel, serial"),
        ({"model": "./none"}, PipelineError, "the model folder none does not exist"),
    ],
)
def test_impossible_settings_are_refused_at_once(model, options, error, message):
    with pytest.raises(error, match=message):
        text_to_image(**{"model": model, **options})


def test_an_unknown_part_is_refused(model, annotations, tmp_path):
    with pytest.raises(ConfigError, match="encodr"):
        predict(model, annotations, tmp_path, part="encodr")


def test_settings_reach_propagation(model):
    module = text_to_image(model, policy=UNIFORM, injector={"prior": {"alpha": 0.01}}, max_span_batch=3)
    assert module.propagation.policy == UNIFORM
    assert module.propagation.injector == {"prior": {"alpha": 0.01}}
    assert module.propagation.max_span_batch == 3
    assert TextToImage(model, propagation=None).propagation is None
    json.dumps(module.propagation.described())
