"""How long the denoiser takes, without a synchronisation inside the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fdplug.patching import PatchStack, call_patches

if TYPE_CHECKING:
    from torch import nn


class DenoiserTimer:
    """Seconds spent in calls of the denoiser while the `with` block runs, whatever is patched on it before included.

    On a GPU a pair of CUDA events brackets each call and is read once, at the end; elsewhere a wall clock does.

    Args:
        denoisers: the network, or both where a run goes through two, as `fdplug.lookup.find_denoisers` finds them; none
            measures nothing.
    """

    def __init__(self, *denoisers: nn.Module) -> None:
        self.denoisers = denoisers
        self.on_gpu = any(next(one.parameters()).device.type == "cuda" for one in denoisers)
        self.calls = 0
        self._seconds = 0.0
        self._events: list[tuple[Any, Any]] = []
        self._patches = PatchStack()

    def __enter__(self) -> DenoiserTimer:
        self._patches.apply([patch for one in self.denoisers for patch in call_patches(one, self._timed)])
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._patches.remove()

    @property
    def seconds(self) -> float | None:
        """Seconds in the denoiser so far; None without one."""
        if not self.denoisers:
            return None
        if self._events:
            import torch

            torch.cuda.synchronize()
        return self._seconds + sum(start.elapsed_time(end) for start, end in self._events) / 1000

    def _timed(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return (self._on_gpu if self.on_gpu else self._on_cpu)(original, *args, **kwargs)

    def _on_cpu(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            self._seconds += time.perf_counter() - start

    def _on_gpu(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        import torch

        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        output = original(*args, **kwargs)
        end.record()
        self._events.append((start, end))
        return output
