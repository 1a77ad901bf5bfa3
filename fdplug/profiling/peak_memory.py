"""Peak memory of a stretch of code: what the GPU allocated, or by how much the process grew."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import torch

_PROC = Path("/proc/self")
GPU, CPU = "GPU memory allocated at most", "growth of the process's resident memory at most"


class PeakMemory:
    """Megabytes at the peak of the `with` block; None where they cannot be known (CPU outside Linux).

    On a GPU: the most that torch had allocated, weights included. On Linux: how far the process's resident memory rose
    above its level at the start, read from the kernel, so that nothing is slowed down by looking.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.on_gpu = torch.device(device).type == "cuda"
        self.megabytes: float | None = None
        self._start: float | None = None

    @property
    def kind(self) -> str:
        """What the number is."""
        return GPU if self.on_gpu else CPU

    def __enter__(self) -> PeakMemory:
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            _give_back()
            self._start = _status("VmRSS") if _reset_peak() else None
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.on_gpu:
            self.megabytes = torch.cuda.max_memory_allocated() / 2**20
        elif self._start is not None:
            peak = _status("VmHWM")
            self.megabytes = None if peak is None else max(peak - self._start, 0.0)


def _reset_peak() -> bool:
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(key: str) -> float | None:
    """A line of /proc/self/status, in megabytes."""
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


def _give_back() -> None:
    """Return freed memory to the system, so that it is not mistaken for memory in use."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
