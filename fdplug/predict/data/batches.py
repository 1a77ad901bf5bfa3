"""Batches that any number of processes share evenly, without a caption twice and without a process left empty-handed.

A batch is one item of the data set, so that Lightning's own sampler for prediction hands whole batches to the
processes: `UnrepeatedDistributedSampler`, which repeats nothing, but needs an item for everyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

Batch = list["Caption"]


def even_batches(captions: Sequence[Caption], batch_size: int, processes: int = 1) -> list[Batch]:
    """The captions in order, cut into as many batches for each process: a multiple of `processes`, at least that many.

    All are full but the last `processes` ones, which share evenly what is left, so that nobody waits for the last
    batch of somebody else. They are empty where there is not enough.
    """
    full = len(captions) // (batch_size * processes) * processes
    batches = [list(captions[index * batch_size : (index + 1) * batch_size]) for index in range(full)]
    rest = list(captions[full * batch_size :])
    if not rest and batches:
        return batches
    bounds = [len(rest) * part // processes for part in range(processes + 1)]
    return [*batches, *(rest[start:stop] for start, stop in pairwise(bounds))]


class _Batches(Dataset[Batch]):
    """Batches as a data set."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]

    def __len__(self) -> int:
        return len(self.batches)


def _only(items: list[Batch]) -> Batch:
    (batch,) = items
    return batch


def caption_loader(captions: Sequence[Caption], batch_size: int, processes: int = 1) -> DataLoader[Batch]:
    """A data loader whose batches are lists of at most `batch_size` captions, possibly empty; see `even_batches`."""
    return DataLoader(_Batches(even_batches(captions, batch_size, processes)), batch_size=1, collate_fn=_only)
