from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fdplug.shapes import pipeline_folder
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.flow import pooling
from fdplug.shapes.training.flow import transformer as flow
from fdplug.shapes.training.flow.transformer import noise_levels
from fdplug.shapes.training.log import LOG_NAME, read
from fdplug.shapes.training.stages import train
from tests.shapes.trained import resumed, weights


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """The same stages on batches that a test can pay for."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, size in ((pooling, "BATCH", 4), (flow, "BATCH", 2), (flow, "CHUNK", 4)):
            patch.setattr(module, name, size)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return TrainConfig(model="shapes-flow", out=tmp_path_factory.mktemp("flow"), steps=2, processes=1, save_every=1)


@pytest.fixture(scope="module", autouse=True)
def trained(config: TrainConfig, small_batches: None) -> None:
    train(config)


def test_a_resumed_run_is_bit_identical(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = resumed(replace(config, out=tmp_path, resume=True), monkeypatch, 2)
    assert broken == {"pooling", "flow"}
    assert weights(tmp_path / "export") == weights(config.out / "export")


def test_the_export_is_a_stock_pipeline_in_half_precision(config: TrainConfig) -> None:
    from diffusers import StableDiffusion3Pipeline

    export = config.out / "export"
    pipe: Any = StableDiffusion3Pipeline.from_pretrained(export / "flow", text_encoder_3=None, tokenizer_3=None)
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a large plain red circle on a gray background", num_inference_steps=1, max_sequence_length=0)
    assert image.images[0].size == (64, 64)
    assert pipe.text_encoder.dtype == pipe.transformer.dtype == torch.float32
    assert [line["stage"] for line in read(export / LOG_NAME) if "final" in line] == ["pooling", "flow"]
    assert (export / "curves.png").stat().st_size > 1000


def test_the_autoencoder_is_that_of_shapes(config: TrainConfig) -> None:
    shared, found = pipeline_folder() / "vae", config.out / "export" / "flow" / "vae"
    (weights,) = shared.glob("*.safetensors")
    assert (found / weights.name).read_bytes() == weights.read_bytes()
    settings = json.loads((shared / "config.json").read_text())
    assert json.loads((found / "config.json").read_text()) == {**settings, "shift_factor": 0.0}


def test_the_shared_layers_of_the_text_tower_stay_as_they_are(config: TrainConfig) -> None:
    from safetensors.torch import load_file

    shared = load_file(pipeline_folder() / "text_encoder" / "model.safetensors")
    found = load_file(config.out / "export" / "flow" / "text_encoder" / "model.safetensors")
    kept = [name for name in shared if "final_layer_norm" not in name]
    assert len(kept) > 30
    assert all(torch.equal(shared[name], found[f"text_model.{name}"]) for name in kept)


def test_noise_levels_are_spread_evenly_over_their_distribution() -> None:
    random = torch.Generator().manual_seed(0)
    levels = noise_levels(20_000, -0.5, random)
    assert 0 < levels.min() < levels.max() <= 1
    normal = torch.distributions.Normal(-0.5, 1.0)
    for bound in (0.1, 0.3, 0.5, 0.8, 0.95):
        share = 0.8 * normal.cdf(torch.tensor(bound).logit()) + 0.2 * bound
        assert (levels < bound).float().mean().item() == pytest.approx(share.item(), abs=0.01)


def test_the_noise_falls_while_the_learning_rate_does(config: TrainConfig) -> None:
    stage: Any = object.__new__(flow.FlowStage)
    stage.steps = 1000
    assert [stage._mean(step) for step in (0, 649)] == [0, 0]
    assert stage._mean(825) == pytest.approx(-0.25)
    assert stage._mean(1000) == pytest.approx(-0.5)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown model 'gan'; choose from shapes, shapes-flow"):
        TrainConfig(model="gan", out=tmp_path)
    with pytest.raises(ValueError, match=r"unknown stages \['vae'\]; choose from pooling, flow, export"):
        TrainConfig(model="shapes-flow", out=tmp_path, stages=("vae",))
