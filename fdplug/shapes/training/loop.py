"""The loop that every trained stage goes through: steps, checkpoints, log lines, resuming."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fdplug.shapes.training.checkpoints import Ema, load_checkpoint, save_checkpoint
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.log import StageLog
from fdplug.shapes.training.workers import Workers


class Stage(ABC):
    """One trained stage: what is trained, and the loss of one step.

    Attributes:
        name: file stem of its checkpoint and label in the log.
        steps: optimiser steps in all.
        learning_rate: peak rate; reached after `warmup` steps, kept, and lowered linearly over the last `decay` share.
        module: everything that is trained.
        ema: decay of the weight average that is kept beside the weights; None for none.
    """

    name: str
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 50
    decay: float = 0.35
    ema: float | None = None
    module: nn.Module
    steps: int

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.workers, self.config = workers, config

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of this worker's batch at `step`, and figures for the log."""

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; each parameter group has its share of the learning rate as ``scale``."""
        groups = [{"params": [p for p in self.module.parameters() if p.requires_grad], "scale": 1.0}]
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, weight_decay=1e-4, fused=True)

    def examine(self) -> dict[str, float]:
        """Figures worth logging when the stage is done."""
        return {}


def rate(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, plateau, linear decay to zero."""
    falling = (steps - step) / max(1.0, decay * steps)
    return min(1.0, (step + 1) / max(1, warmup), falling)


def run_stage(stage: Stage, workers: Workers, config: TrainConfig) -> None:
    """Train `stage` to its end, from its checkpoint if there is one."""
    optimizer = stage.optimizer()
    ema = None if stage.ema is None else Ema(stage.module, stage.ema)
    path = config.out / f"{stage.name}.pt"
    step = load_checkpoint(path, stage.module, optimizer, ema)
    if step >= stage.steps:
        return
    log = StageLog(config.out, stage.name, stage.steps, step, enabled=workers.leads)
    with log:
        while step < stage.steps:
            figures = _advance(stage, step, optimizer, workers)
            step += 1
            if ema is not None:
                ema.update(stage.module, step)
            log.write(step, figures)
            if workers.leads and (step % config.save_every == 0 or step == stage.steps):
                save_checkpoint(path, step, stage.module, optimizer, ema)
        if ema is not None:
            ema.copy_to(stage.module)
        if workers.leads:
            log.conclude(stage.examine())
    workers.wait()


def timed_steps(stage: Stage, workers: Workers, seconds: float, trials: int = 6) -> int:
    """How many steps of `stage` fit into `seconds`, from timing a few without changing any weight."""
    stage.loss(0)
    started = time.perf_counter()
    for trial in range(trials):
        stage.loss(trial)[0].backward()
        stage.module.zero_grad(set_to_none=True)
    pace = workers.mean((time.perf_counter() - started) / trials)
    return max(2, int(seconds / pace))


def _advance(stage: Stage, step: int, optimizer: torch.optim.Optimizer, workers: Workers) -> dict[str, float]:
    share = rate(step, stage.steps, stage.warmup, stage.decay)
    for group in optimizer.param_groups:
        group["lr"] = stage.learning_rate * group["scale"] * share
    loss, figures = stage.loss(step)
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    workers.average(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"loss": loss.item(), **figures}
