"""When the part was computed and when it was replayed: one bar of cells per variant, from what the ledger noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEIGHT, WIDTH = 26, 1000
GAP = 2.0


@dataclass(frozen=True)
class Cell:
    """One denoising step, in units of a picture `WIDTH` wide.

    Attributes:
        step: its index, 0 being the noisiest.
        key: whether the part was computed.
        x: left edge.
        width: without the gap to the next one; steps that one pass answered touch each other.
    """

    step: int
    key: bool
    x: float
    width: float


@dataclass(frozen=True)
class Timeline:
    """One variant's steps."""

    name: str
    cells: tuple[Cell, ...]
    passes: int

    @property
    def summary(self) -> str:
        """What there is to see, in words."""
        keys = [cell.step for cell in self.cells if cell.key]
        if len(keys) == len(self.cells):
            return f"every one of {len(self.cells)} steps computed, {self.passes} passes"
        return f"computed at {', '.join(map(str, keys))}; {len(self.cells)} steps in {self.passes} passes"


def timeline(row: Mapping[str, Any]) -> Timeline:
    """The timeline of a row of `results.json`: its `key_steps` and its denoiser's `passes`."""
    steps = sorted({first + index for first, count in row["passes"] for index in range(count)})
    last = {first + count - 1 for first, count in row["passes"]}
    keys = set(row["key_steps"])
    size = WIDTH / max(len(steps), 1)
    cells = tuple(
        Cell(step, step in keys, place * size, size - (GAP if step in last else 0.0))
        for place, step in enumerate(steps)
    )
    return Timeline(row["name"], cells, len(row["passes"]))
