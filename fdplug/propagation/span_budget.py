"""How many rows of a span one call may decode in the memory that there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from fdplug.profiling.live_memory import LiveMemory, resident

SHARE = 0.2  # with what is kept of key steps, the peak stays under a quarter more


class SpanBudget:
    """The most rows of one parallel call that keep the peak under 1.25 times that of the pipeline as it is.

    The pipeline's peak is its weights and what one call of the denoiser takes. That is measured, once for every shape
    of the sample, during the first call of a run, which therefore answers one step only. More rows take proportionally
    more. The images do not depend on the outcome but for rounding.
    """

    def __init__(self, pipe: Any, share: float = SHARE) -> None:
        self._pipe = pipe
        self._share = share
        self._rows: dict[tuple[Any, ...], int] = {}

    def rows(self, sample: Tensor) -> int:
        """Return the most rows for samples like this; as many as it has before anything was measured."""
        return self._rows.get(_key(sample), sample.shape[0])

    def knows(self, sample: Tensor) -> bool:
        """Whether calls for samples like this have been measured."""
        return _key(sample) in self._rows

    @contextmanager
    def measuring(self, sample: Tensor, rows: int) -> Iterator[None]:
        """Measure the call of the denoiser that is made inside for so many rows, all those of the sample or some."""
        with _uncompiled(), LiveMemory() as memory:
            yield
        room = self._share * (resident(self._pipe, sample.device) + memory.peak)
        self._rows[_key(sample)] = int(rows * (1 + room / max(1, memory.peak)))


def _uncompiled() -> AbstractContextManager[Any]:
    """Run what `torch.compile` has compiled as it was before: memory inside a compiled graph cannot be counted."""
    stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6
    return nullcontext() if stance is None else stance("force_eager")


def _key(sample: Tensor) -> tuple[Any, ...]:
    return (tuple(sample.shape), sample.dtype, sample.device)
