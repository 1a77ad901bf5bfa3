"""Several processes that work on one run: whether they know of each other, and what one decides for all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fdplug.errors import ConfigError, FdplugError


def check_launch(trainer: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse processes that were started from outside, but do not add up to what the trainer was told.

    Raises:
        ConfigError: each of them would do the whole job, or wait for others that do not exist.
    """
    by, started, here = _started(environment)
    told = trainer.num_devices * trainer.num_nodes
    if started is None or started == told:
        return
    raise ConfigError(
        f"{by} started {started} processes, but trainer.devices x trainer.num_nodes is {trainer.num_devices} x"
        f" {trainer.num_nodes}; give --trainer.devices {here} --trainer.num_nodes {started // here}"
        " --trainer.strategy ddp"
    )


def _started(environment: Mapping[str, str]) -> tuple[str, int | None, int]:
    """Who started how many processes, and how many of them on this machine."""
    if "LOCAL_WORLD_SIZE" in environment:
        return "torchrun", int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
    if "SLURM_STEP_NUM_TASKS" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        tasks = int(environment["SLURM_STEP_NUM_TASKS"])
        return "srun", tasks, max(tasks // int(environment.get("SLURM_STEP_NUM_NODES", "1")), 1)
    return "", None, 1


def die_with_launcher(trainer: Any, environment: Mapping[str, str] = os.environ) -> None:
    """End this process soon after the one that launched it: nobody would wait for its images.

    Concerns what torchrun starts, and what Lightning's first process starts on its machine.
    """
    if trainer.local_rank == 0 and "TORCHELASTIC_RUN_ID" not in environment:
        return
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="launcher-watch").start()


def first_decides(trainer: Any, action: Callable[[], None]) -> None:
    """Run `action` in the first process; the others wait for it, and raise what it raises.

    Raises:
        FdplugError: what `action` raised.
    """
    error: FdplugError | None = None
    if trainer.is_global_zero:
        try:
            action()
        except FdplugError as caught:
            error = caught
    error = trainer.strategy.broadcast(error)
    if error is not None:
        raise error


def over_ranks(trainer: Any, number: float, operation: str = "sum") -> float:
    """The sum (or `max`) of a number over all processes; every one of them has to ask."""
    own = torch.tensor(float(number)).to(trainer.strategy.root_device)
    return float(trainer.strategy.reduce(own, reduce_op=operation))
