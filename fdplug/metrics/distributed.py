"""What the processes of a run know together."""

from __future__ import annotations

import torch
from torch import distributed
from torchmetrics.utilities.distributed import gather_all_tensors


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """The rows (N, ...) of all ranks, one rank after the other; every rank has to ask, also one without rows."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    return torch.cat(gather_all_tensors(rows))
