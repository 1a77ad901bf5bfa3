"""Worker processes: one thread each, gradients averaged by one flat all-reduce."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """This process's place among the workers."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def average(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the workers."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, value: float) -> float:
        """The mean of one number over the workers."""
        if self.world == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(total)
        return float(total) / self.world

    def wait(self) -> None:
        """Wait until every worker has come here."""
        if self.world > 1:
            dist.barrier()


def launch(job: Callable[[Workers, T], None], argument: T, processes: int) -> None:
    """Run ``job(workers, argument)`` in `processes` processes; in this one if only one is asked for."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if processes == 1:
        torch.set_num_threads(1)
        job(Workers(), argument)
        return
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_enter, args=(processes, Path(folder) / "rendezvous", job, argument), nprocs=processes)


def _enter(rank: int, world: int, store: Path, job: Callable[[Workers, T], None], argument: T) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    try:
        job(Workers(rank, world), argument)
    finally:
        dist.destroy_process_group()
