"""What tests of a training share: the weights of a folder, and a run that is broken off in every stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fdplug.shapes.training import loop
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.stages import train


def weights(folder: Path) -> dict[str, bytes]:
    """The files of weights inside a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


def _break_off_once(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Interrupt every stage before its second step, once; return the names of those that were."""
    real = loop._advance
    broken: set[str] = set()

    def advance(stage: Any, step: int, *rest: Any) -> dict[str, float]:
        if step == 1 and stage.name not in broken:
            broken.add(stage.name)
            raise KeyboardInterrupt
        return real(stage, step, *rest)

    monkeypatch.setattr(loop, "_advance", advance)
    return broken


def resumed(config: TrainConfig, monkeypatch: pytest.MonkeyPatch, breaks: int) -> set[str]:
    """Train by the same command again and again, until no stage is broken off; return the names of those that were."""
    broken = _break_off_once(monkeypatch)
    for _ in range(breaks):
        with pytest.raises(KeyboardInterrupt):
            train(config)
    train(config)
    return broken
