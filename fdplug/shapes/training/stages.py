"""The stages in order: what `train` runs."""

from __future__ import annotations

from dataclasses import replace

from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import run_stage
from fdplug.shapes.training.workers import Workers, launch


def train(config: TrainConfig) -> None:
    """Run the stages of `config`, each in its own set of worker processes.

    Raises:
        FileExistsError: if the run would overwrite checkpoints and `config.resume` is false.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    found = [name for name in config.stages if (config.out / f"{name}.pt").exists()]
    if found and not config.resume:
        raise FileExistsError(f"{config.out} has checkpoints of {', '.join(found)}; add --resume or choose another --out")
    for name in config.stages:
        launch(_work, replace(config, stages=(name,)), config.processes)


def _work(workers: Workers, config: TrainConfig) -> None:
    from fdplug.shapes.training.vae import VaeStage
    run_stage(VaeStage(workers, config), workers, config)
