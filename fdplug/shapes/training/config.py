"""The settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STAGES = {
    "shapes": ("vae", "text", "unet", "evaluators", "export"),
    "shapes-flow": ("pooling", "flow", "export"),
    "shapes-controlnet": ("control", "finder", "export"),
}
"""The stages of each model, in order. What they share with `shapes` is taken from the package."""
STEPS = {"shapes": 4200, "shapes-flow": 2000, "shapes-controlnet": 1600}
"""Steps of each model's denoiser in a run of the default length."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of the training script.

    Args:
        model: one of `STAGES`.
        out: folder for checkpoints, logs and the exported model.
        seed: with `steps` and `processes` it fixes every number of the run (on one machine and one torch).
        steps: steps of the denoiser; the other stages scale in proportion. None: as in `STEPS`.
        minutes: if given, each stage's steps are set by timing it first, so that the whole takes about this long.
        processes: worker processes, one thread each, whose gradients are averaged.
        device: ``cpu`` or ``cuda``.
        resume: continue from the checkpoints in `out` instead of refusing to overwrite them.
        stages: which stages to run, in the order of `STAGES`; None: all.
        save_every: steps between checkpoints.
    """

    model: str = "shapes"
    out: Path
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    processes: int = 2
    device: str = "cpu"
    resume: bool = False
    stages: tuple[str, ...] | None = None
    save_every: int = 200

    def __post_init__(self) -> None:
        if self.model not in STAGES:
            raise ValueError(f"unknown model {self.model!r}; choose from {', '.join(STAGES)}")
        if self.length < 1 or self.processes < 1 or self.save_every < 1:
            raise ValueError("steps, processes and save_every must be at least 1")
        unknown = sorted(set(self.chosen) - set(STAGES[self.model]))
        if unknown:
            raise ValueError(f"unknown stages {unknown}; choose from {', '.join(STAGES[self.model])}")

    @property
    def length(self) -> int:
        """Steps of the denoiser."""
        return STEPS[self.model] if self.steps is None else self.steps

    @property
    def chosen(self) -> tuple[str, ...]:
        """The stages to run."""
        return STAGES[self.model] if self.stages is None else self.stages

    def scaled(self, steps: int) -> int:
        """The steps of a stage that takes `steps` in a run of the default length."""
        return max(2, round(steps * self.length / STEPS[self.model]))

    def at_most(self, count: int) -> int:
        """`count` pictures for preparing or examining; fewer in a run shorter than the default."""
        return min(count, self.scaled(count))
