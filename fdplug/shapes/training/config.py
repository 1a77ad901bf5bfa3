"""The settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STAGES = ("vae", "text", "unet", "evaluators", "export")
UNET_STEPS = 4200


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of the training script.

    Args:
        out: folder for checkpoints, logs and the exported model.
        seed: with `steps` and `processes` it fixes every number of the run (on one machine and one torch).
        steps: steps of the U-Net stage; the other stages scale in proportion.
        minutes: if given, each stage's steps are set by timing it first, so that the whole takes about this long.
        processes: worker processes, one thread each, whose gradients are averaged.
        device: ``cpu`` or ``cuda``.
        resume: continue from the checkpoints in `out` instead of refusing to overwrite them.
        stages: which stages to run, in the order of `STAGES`.
        save_every: steps between checkpoints.
    """

    out: Path
    seed: int = 0
    steps: int = UNET_STEPS
    minutes: float | None = None
    processes: int = 2
    device: str = "cpu"
    resume: bool = False
    stages: tuple[str, ...] = STAGES
    save_every: int = 200

    def __post_init__(self) -> None:
        if self.steps < 1 or self.processes < 1 or self.save_every < 1:
            raise ValueError("steps, processes and save_every must be at least 1")
        unknown = sorted(set(self.stages) - set(STAGES))
        if unknown:
            raise ValueError(f"unknown stages {unknown}; choose from {', '.join(STAGES)}")

    def scaled(self, steps: int) -> int:
        """The steps of a stage that takes `steps` in a run of the default length."""
        return max(2, round(steps * self.steps / UNET_STEPS))

    def at_most(self, count: int) -> int:
        """`count` pictures for preparing or examining; fewer in a run shorter than the default."""
        return min(count, self.scaled(count))
