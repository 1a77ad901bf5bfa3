"""What the modules of a part answer: their own output at a key step, kept features at the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.propagation.residual import Residual
from fdplug.repeated import Repeated, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from fdplug.caches import FeatureCache
    from fdplug.denoisers import Part
    from fdplug.propagation.window import Window


class Replay:
    """Keeps the outputs of a part's modules in a feature cache, and hands them out for whole windows of steps.

    Of *chained* modules, whose output only the next module of the part reads, nothing is kept but the shape. Of a
    `residual` part, what it adds to its input is kept.

    Attributes:
        writes: whether copies for the steps of a window are written out at once, for code that needs plain tensors.
    """

    def __init__(self, cache: FeatureCache, part: Part) -> None:
        self.writes = False
        self._cache = cache
        self._chained = part.chained
        self._residual = Residual() if part.residual else None
        self._kept: dict[str, Any] = {}

    def clear(self) -> None:
        """Forget everything and free the memory."""
        self._kept = {}
        self._cache.reset()
        if self._residual is not None:
            self._residual.clear()

    def begin(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Learn what the first module of the part is given."""
        if self._residual is not None:
            self._residual.begin(args, kwargs)

    def keep(self, name: str, window: Window, output: Any) -> Any:
        """Keep what module `name` computed; return it for every step of the window, time-major."""
        key = _key(name, window)
        if name in self._chained:
            self._kept[key] = trees.map_tensors(_hollow, output)
            return self._handed_out(trees.repeat_rows(output, window.rows, len(window.steps)))
        self._kept[key], features = trees.dissect(output)
        if self._residual is not None:
            self._cache.write(key, window.steps[0], self._residual.of(features))
            return output  # one step: a difference and its base need not add up to the last bit
        self._cache.write(key, window.steps[0], features)
        return self.answer(name, window)

    def answer(self, name: str, window: Window) -> Any:
        """Return what stands for the output of module `name` at every step of the window, time-major."""
        key, times = _key(name, window), len(window.touched)
        kept = self._kept[key]
        if name in self._chained:
            zeros = window.cut(trees.map_tensors(lambda one: _hollow(one, times), kept))
            return self._handed_out(trees.map_tensors(lambda one: Repeated(one, 1), zeros))
        features = self._cache.read(key, window.touched)
        if self._residual is not None:
            features = self._residual.onto(map(whole, features))
        return self._handed_out(window.cut(kept.fill(tuple(features))))

    def _handed_out(self, tree: Any) -> Any:
        return trees.map_tensors(whole, tree) if self.writes else tree


def _key(name: str, window: Window) -> str:
    return f"{name}@{window.lane}" if window.lane else name


def _hollow(tensor: Tensor, times: int = 1) -> Tensor:
    """Return zeros of `times` as many rows that take no memory."""
    return tensor.new_zeros(()).expand(times * tensor.shape[0], *tensor.shape[1:])
