"""How timesteps are written in messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def shown(timestep: Any) -> str:
    """Write a timestep, which may be a tensor of one value or of several equal ones."""
    return f"{float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep):g}"


def some(values: Iterable[float]) -> str:
    """Write the first few of many numbers."""
    listed = list(values)
    first = ", ".join(f"{value:g}" for value in listed[:5])
    return f"{first}, ..." if len(listed) > 5 else first
