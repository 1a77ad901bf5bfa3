"""A mean with its standard error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torchmetrics import Metric

if TYPE_CHECKING:
    from torch import Tensor


class Mean(Metric):
    """Mean of numbers and the standard error of that mean; sums in float64 that add up over ranks."""

    full_state_update = False
    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "total", "squares"):
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """Add numbers (N,)."""
        values = values.detach().to(self.total)
        self.count += values.numel()
        self.total += values.sum()
        self.squares += values.square().sum()

    def compute(self) -> tuple[int, float, float]:
        """How many numbers, their mean, and its standard error: the deviation of the numbers / root of how many.

        Both are not-a-number where they do not exist: without numbers, or with only one.
        """
        count, total, squares = int(self.count), float(self.total), float(self.squares)
        if not count:
            return 0, math.nan, math.nan
        if count == 1:
            return 1, total, math.nan
        variance = max(squares - total**2 / count, 0.0) / (count - 1)
        return count, total / count, math.sqrt(variance / count)

    def named(self, key: str) -> dict[str, float]:
        """`{key: mean, key_se: standard error}`, as far as they exist."""
        _, mean, error = self.compute()
        return {name: value for name, value in ((key, mean), (f"{key}_se", error)) if not math.isnan(value)}
