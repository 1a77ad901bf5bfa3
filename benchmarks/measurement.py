"""One measured call of a pipeline: time of its networks and in all, memory, FLOPs, images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from fdplug.patching import PatchStack, call_patches
from fdplug.profiling.live_memory import LiveMemory, resident
from fdplug.scores.psnr import decibels


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Count FLOPs of attention by the shapes of its arguments."""
    return sdpa_flop_count(query, key, value)


# torch's counter has no entry for attention on a CPU.
ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


@dataclass
class Timing:
    """Seconds of one call: of the networks that run at every step, and of all."""

    networks: float
    total: float
    images: np.ndarray


@dataclass
class Cost:
    """GFLOPs of the networks in one call (a multiply-add counts once), and the peak of memory in bytes."""

    gflops: float
    peak: int


class Stopwatch:
    """Measures pieces of time: by events on a GPU, so that nothing waits in between, else by the clock."""

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._marks: list[tuple[Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure what is inside."""
        start = self._mark()
        yield
        self._marks.append((start, self._mark()))

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Return the sum, waiting for the GPU."""
        if not self._cuda:
            return sum(end - start for start, end in self._marks)
        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in self._marks) / 1e3


@contextmanager
def around(networks: Sequence[Any], what: Callable[..., Any]) -> Iterator[None]:
    """Call `what(original, ...)` around every call of the networks."""
    patches = PatchStack()
    patches.apply([patch for network in networks for patch in call_patches(network, what)])
    try:
        yield
    finally:
        patches.remove()


def timed(pipe: Any, networks: Sequence[Any], arguments: dict[str, Any], device: str, seed: int) -> Timing:
    """Run the pipeline once and time it."""
    inside, whole = Stopwatch(device), Stopwatch(device)

    def measure(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with inside.running():
            return original(*args, **kwargs)

    with around(networks, measure), whole.running():
        images = pipe(**arguments, generator=generator(seed)).images
    return Timing(inside.seconds(), whole.seconds(), np.asarray(images))


@dataclass
class _Flops:
    """Sums FLOPs over calls."""

    total: int = 0

    def count(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Count one call; compiled code runs as it was before, or nothing would be seen."""
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False, custom_mapping=ATTENTION) as mode:
            result = original(*args, **kwargs)
        self.total += mode.get_total_flops()
        return result


def counted(pipe: Any, networks: Sequence[Any], arguments: dict[str, Any], device: str, seed: int) -> Cost:
    """Run the pipeline once more and count.

    Memory is the allocator's peak on a GPU. On a CPU it is that of live tensors, and all weights.
    """
    flops = _Flops()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        pipe(**arguments, generator=generator(seed))
        peak = torch.cuda.max_memory_allocated()
        with around(networks, flops.count):
            pipe(**arguments, generator=generator(seed))
    else:
        with around(networks, flops.count), LiveMemory() as memory:
            pipe(**arguments, generator=generator(seed))
        peak = memory.peak + resident(pipe, torch.device(device))
    return Cost(flops.total / 2 / 1e9, peak)  # torch counts a multiply-add twice


def generator(seed: int) -> torch.Generator:
    """Return the source of noise of one call, the same for every device."""
    return torch.Generator("cpu").manual_seed(seed)


def psnr(images: np.ndarray, others: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of images between 0 and 1, infinite where they are the same."""
    return decibels(float(np.mean((images.astype(np.float64) - others.astype(np.float64)) ** 2)), peak=1.0)
