"""The stages in order: what `train` runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.control.controlnet import ControlStage
from fdplug.shapes.training.control.export import export_controlnet
from fdplug.shapes.training.control.finder import FinderStage
from fdplug.shapes.training.evaluators import ClassifierStage, EmbeddingStage
from fdplug.shapes.training.export import export
from fdplug.shapes.training.flow.export import export_flow
from fdplug.shapes.training.flow.pooling import PoolingStage
from fdplug.shapes.training.flow.transformer import FlowStage
from fdplug.shapes.training.loop import Stage, run_stage, timed_steps
from fdplug.shapes.training.text import TextStage
from fdplug.shapes.training.unet import UnetStage
from fdplug.shapes.training.vae import VaeStage
from fdplug.shapes.training.workers import Workers, launch

TRAINED: dict[str, tuple[type[Stage], ...]] = {
    "vae": (VaeStage,),
    "text": (TextStage,),
    "unet": (UnetStage,),
    "evaluators": (ClassifierStage, EmbeddingStage),
    "pooling": (PoolingStage,),
    "flow": (FlowStage,),
    "control": (ControlStage,),
    "finder": (FinderStage,),
}
EXPORTS: dict[str, Callable[[TrainConfig], Path]] = {
    "shapes": export,
    "shapes-flow": export_flow,
    "shapes-controlnet": export_controlnet,
}
TIME_SHARES = {
    "pooling": 0.02,
    "flow": 0.96,
    "control": 0.85,
    "finder": 0.1,
    "vae": 0.25,
    "text": 0.02,
    "unet": 0.6,
    "classifier": 0.09,
    "embedding": 0.04,
}


def train(config: TrainConfig) -> None:
    """Run the stages of `config`, each in its own set of worker processes.

    Raises:
        FileExistsError: if the run would overwrite checkpoints and `config.resume` is false.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    found = sorted(stage.name for name in config.chosen for stage in TRAINED.get(name, ()) if _begun(stage, config))
    if found and not config.resume:
        raise FileExistsError(
            f"{config.out} has checkpoints of {', '.join(found)}; add --resume or choose another --out"
        )
    for name in config.chosen:
        if name == "export":
            EXPORTS[config.model](config)
        else:
            launch(_work, replace(config, stages=(name,)), config.processes)


def _begun(stage: type[Stage], config: TrainConfig) -> bool:
    return (config.out / f"{stage.name}.pt").exists()


def _work(workers: Workers, config: TrainConfig) -> None:
    for kind in TRAINED[config.chosen[0]]:
        stage = kind(workers, config)
        if config.minutes is not None:
            seconds = 60 * config.minutes * TIME_SHARES[stage.name]
            stage.steps = timed_steps(stage, workers, seconds)
        run_stage(stage, workers, config)
