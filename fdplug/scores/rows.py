"""What the processes of a run know together: numbers of single images, and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor, distributed

__all__ = ["Rows", "exchange", "gathered", "summed"]

exchange: ContextVar[Callable[[Tensor], list[Tensor]] | None] = ContextVar("exchange", default=None)
"""What returns the tensors of all processes where these are imitated, as tests do; None for torch.distributed."""


class Rows:
    """Numbers of every image, kept on the CPU, and put into the order of the images' ids.

    What is computed of all rows is then the same, bit for bit, however the images were divided.

    Args:
        width: how many numbers an image has; None for one, without an axis of its own.
        dtype: how they are kept.
    """

    def __init__(self, width: int | None = None, dtype: torch.dtype = torch.float64) -> None:
        self._rows = [torch.empty((0,) if width is None else (0, width), dtype=dtype)]
        self._ids: list[int] = []

    def __len__(self) -> int:
        """Return how many images this process has."""
        return len(self._ids)

    def add(self, rows: Tensor, ids: Sequence[int] | None = None) -> None:
        """Add the rows (N, width) of N images; without ids they stay in the order in which they come."""
        ids = range(len(self), len(self) + len(rows)) if ids is None else ids
        if len(ids) != len(rows):
            raise ValueError(f"{len(rows)} rows of {len(ids)} images")
        self._rows.append(rows.detach().cpu().to(self._rows[0].dtype))
        self._ids += ids

    def gathered(self) -> Tensor:
        """Return the rows of all processes, in the order of the images' ids; every process has to ask."""
        ids = gathered(torch.tensor(self._ids, dtype=torch.int64))
        return gathered(torch.cat(self._rows))[ids.argsort(stable=True)]


def gathered(rows: Tensor) -> Tensor:
    """Return the rows (N, ...) of all processes, one process after the other; also one without rows has to ask."""
    imitated = exchange.get()
    if imitated is not None:
        return torch.cat(imitated(rows))
    if not _several():
        return rows
    from torchmetrics.utilities.distributed import gather_all_tensors

    return torch.cat(gather_all_tensors(rows.to(_home()))).to(rows.device)


def summed(numbers: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes; every process has to ask."""
    imitated = exchange.get()
    if imitated is not None:
        return torch.stack(imitated(numbers)).sum(0)
    if not _several():
        return numbers
    total = numbers.to(_home(), copy=True)
    distributed.all_reduce(total)
    return total.to(numbers.device)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _home() -> torch.device:
    """Where tensors have to be for the processes to exchange them."""
    return torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else _CPU


_CPU = torch.device("cpu")
