"""What a stage keeps on disk: its checkpoints, what it has encoded; and the running average of its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """An exponential moving average of a module's parameters, quick at first and slower later."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the weights after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in module.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the module's parameters by their average."""
        for parameter, value in zip(module.parameters(), self.values, strict=True):
            parameter.copy_(value)


def save_checkpoint(
    path: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer | None, ema: Ema | None
) -> None:
    """Write a stage's state in one move, so that an interrupt leaves the previous one intact."""
    average: list[Tensor] = [] if ema is None else ema.values
    state = {"step": step, "module": module.state_dict(), "average": average}
    if optimizer is not None:
        state["optimizer"] = optimizer.state_dict()
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    scratch.replace(path)


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None) -> int:
    """Restore a stage's state; 0 if there is none.

    Returns:
        The number of steps already done.
    """
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    if ema is not None:
        ema.values = [v.to(p.device) for v, p in zip(state["average"], module.parameters(), strict=True)]
    return int(state["step"])


def load_result(path: Path, module: nn.Module) -> None:
    """Load the outcome of a finished stage: its averaged weights where there are some, else the last ones.

    Raises:
        FileNotFoundError: if the stage has not been trained yet.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: train stage {path.stem!r} first")
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), state["average"], strict=False):
            parameter.copy_(value)


def kept(path: Path, make: Callable[[], tuple[Tensor, ...]]) -> Any:
    """Return the tensors of a file; where there is none yet, write what `make` returns, whole or not at all."""
    if not path.exists():
        torch.save(make(), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
    return torch.load(path, weights_only=True)
