from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fdplug.shapes import pipeline_folder
from fdplug.shapes.control.agreement import load_finder
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.control import controlnet, finder
from fdplug.shapes.training.control.controlnet import ControlStage, shipped, trained_controlnet
from fdplug.shapes.training.log import LOG_NAME, read
from fdplug.shapes.training.stages import train
from fdplug.shapes.training.workers import Workers
from tests.shapes.trained import resumed, weights


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """The same stages on batches that a test can pay for."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, size in ((controlnet, "BATCH", 2), (controlnet, "CHUNK", 4), (finder, "BATCH", 3)):
            patch.setattr(module, name, size)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("control")
    return TrainConfig(model="shapes-controlnet", out=out, steps=2, processes=1, save_every=1)


@pytest.fixture(scope="module", autouse=True)
def trained(config: TrainConfig, small_batches: None) -> None:
    train(config)


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = resumed(replace(config, out=tmp_path, resume=True), monkeypatch, 2)
    assert broken == {"control", "finder"}
    assert weights(tmp_path / "export") == weights(config.out / "export")


def test_the_export_is_loaded_by_the_stock_pipeline(config: TrainConfig) -> None:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from PIL import Image

    export = config.out / "export"
    net: Any = ControlNetModel.from_pretrained(export / "controlnet")
    pipe: Any = StableDiffusionControlNetPipeline.from_pretrained(
        pipeline_folder(), controlnet=net, safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    made = pipe("a circle", image=Image.new("RGB", (64, 64)), num_inference_steps=1).images[0]
    assert made.size == (64, 64)
    assert net.dtype is torch.float32
    load_finder(folder=export)
    assert [line["stage"] for line in read(export / LOG_NAME) if "final" in line] == ["control", "finder"]
    assert (export / "curves.png").stat().st_size > 1000


def test_it_begins_as_the_encoder_and_changes_nothing() -> None:
    from diffusers import UNet2DConditionModel

    unet = shipped("unet", UNet2DConditionModel)
    net: Any = controlnet.build_controlnet(unet)
    known = unet.state_dict()
    shared = {name: one for name, one in net.state_dict().items() if name in known}
    assert {name.split(".")[0] for name in shared} == {"conv_in", "time_embedding", "down_blocks", "mid_block"}
    assert all(torch.equal(one, known[name]) for name, one in shared.items())
    assert not [name for name in net.state_dict() if "attentions" in name]
    down, middle = net(torch.randn(1, 4, 16, 16), 5, torch.randn(1, 3, 96), torch.rand(1, 3, 64, 64), return_dict=False)
    assert not any(one.any() for one in (*down, middle))


def test_only_the_controlnet_learns(config: TrainConfig) -> None:
    stage = ControlStage(Workers(), config)
    stage.loss(0)[0].backward()
    assert not [name for part in (stage.unet, stage.text) for name, one in part.named_parameters() if one.requires_grad]
    learnt = {name.split(".")[0] for name, one in stage.controlnet.named_parameters() if one.grad is not None}
    assert {"controlnet_down_blocks", "controlnet_mid_block"} <= learnt
    before = controlnet.build_controlnet(stage.unet).state_dict()
    after = trained_controlnet(config).state_dict()
    assert not torch.equal(before["controlnet_mid_block.weight"], after["controlnet_mid_block.weight"])


def test_half_of_the_captions_are_empty(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    stage: Any = ControlStage(Workers(), config)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(controlnet, "BATCH", 64)
    monkeypatch.setattr(stage, "_predicted", lambda noisy, times, tokens, lines: seen.append(tokens) or noisy)
    for step in range(8):
        stage.loss(step)
    empty = (torch.cat(seen) == stage.empty).all(dim=1).float().mean().item()
    assert empty == pytest.approx(0.5, abs=0.07)
