from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fdplug.shapes.train import parser
from fdplug.shapes.training import evaluators, loop, text, unet, vae
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.log import LOG_NAME, forget, read
from fdplug.shapes.training.stages import train
from tests.shapes.trained import resumed, weights

STAGES = ("vae", "text", "unet", "classifier", "embedding")


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """The same stages on batches that a test can pay for."""
    sizes = {(vae, "BATCH"): 4, (text, "BATCH"): 8, (unet, "BATCH"): 4, (unet, "CHUNK"): 8}
    sizes |= {(evaluators, "CLASSIFIER_BATCH"): 6, (evaluators, "EMBEDDING_BATCH"): 6}
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), size in sizes.items():
            patch.setattr(module, name, size)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return TrainConfig(out=tmp_path_factory.mktemp("whole"), steps=2, processes=1, save_every=1)


@pytest.fixture(scope="module", autouse=True)
def trained(config: TrainConfig, small_batches: None) -> None:
    train(config)


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = resumed(replace(config, out=tmp_path, resume=True), monkeypatch, len(STAGES))
    assert broken == set(STAGES)
    assert weights(tmp_path / "export") == weights(config.out / "export")
    assert len(weights(tmp_path / "export")) == 5


def test_the_export_holds_a_pipeline_a_log_and_curves(config: TrainConfig) -> None:
    export = config.out / "export"
    assert (
        json.loads((export / "pipeline" / "model_index.json").read_text())["_class_name"] == "StableDiffusionPipeline"
    )
    assert (export / "curves.png").stat().st_size > 1000
    assert [line["stage"] for line in read(export / LOG_NAME) if "final" in line] == list(STAGES)


def test_a_run_does_not_overwrite_another(config: TrainConfig) -> None:
    with pytest.raises(FileExistsError, match=r"has checkpoints of .*; add --resume or choose another --out"):
        train(config)


def test_checkpoints_hold_no_code(config: TrainConfig) -> None:
    for stage in STAGES:
        assert torch.load(config.out / f"{stage}.pt", weights_only=True)["step"] >= 2


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train stage 'text' first"):
        train(TrainConfig(out=tmp_path, steps=2, processes=1, stages=("unet",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"steps": 0}, "must be at least 1"), ({"stages": ("vae", "gan")}, r"unknown stages \['gan'\]; choose from vae")],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(out=tmp_path, **options)


def test_rate_rises_stays_and_falls() -> None:
    rates = [loop.rate(step, 1000, 100, 0.35) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert set(rates[100:600]) == {1.0}
    assert rates[-1] == pytest.approx(1 / 350)


def test_forgetting_keeps_other_stages(tmp_path: Path) -> None:
    lines = [{"stage": "vae", "step": 50}, {"stage": "text", "step": 90}, {"stage": "vae", "step": 100}]
    (tmp_path / LOG_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert forget(tmp_path / LOG_NAME, "vae", 60) == lines[0]
    assert read(tmp_path / LOG_NAME) == lines[:2]


def test_the_command_line_reads_its_options() -> None:
    options = parser().parse_args(["--out", "x", "--minutes", "3", "--stages", "vae", "text"])
    assert (options.minutes, options.stages, options.processes) == (3.0, ["vae", "text"], 2)


@pytest.mark.slow
def test_two_processes_agree_and_repeat(tmp_path: Path) -> None:
    runs = [TrainConfig(out=tmp_path / name, steps=2, processes=2, stages=("text",)) for name in ("one", "two")]
    for run in runs:
        train(run)
    first, second = (torch.load(run.out / "text.pt", weights_only=True)["module"] for run in runs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_minutes_set_the_steps(tmp_path: Path) -> None:
    train(TrainConfig(out=tmp_path, minutes=0.02, processes=1, stages=("text",)))
    assert torch.load(tmp_path / "text.pt", weights_only=True)["step"] >= 2
