"""What the modules of a part answer: their own output at a key step, kept features at the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.propagation.residual import Residual
from fdplug.repeated import Repeated, interleave, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from fdplug.caches import FeatureCache, Features
    from fdplug.denoisers import Part
    from fdplug.propagation.window import Window


class NotKept(Exception):
    """Ends a pass that asks a module for features which were never made: it was skipped when they were."""


class Replay:
    """Keeps the outputs of a part's modules in a feature cache, and hands them out for whole windows of steps.

    Of *chained* modules, whose output only the next module of the part reads, nothing is kept but the shape; unless the
    end of their chain was skipped, so that others may read it. Of a `residual` part, what it adds to its input is kept.

    Attributes:
        writes: whether copies for the steps of a window are written out at once, for code that needs plain tensors.
    """

    def __init__(self, cache: FeatureCache, part: Part) -> None:
        self.writes = False
        self._cache = cache
        self._part = part
        self._ends = _ends(part)
        self._residual = Residual() if part.residual else None
        self.clear()

    def clear(self) -> None:
        """Forget everything and free the memory."""
        self._kept: dict[str, Any] = {}
        self._exposed: set[str] = set()
        self._unread: dict[str, Any] = {}
        self._asked: list[str] = []
        self._made: dict[int, list[str]] = {}
        self._written: dict[int, set[str]] = {}
        self._cache.reset()
        if self._residual is not None:
            self._residual.clear()

    def free(self, lane: int) -> None:
        """Forget what was kept for a lane: another one takes its number, and nothing of both belongs together."""
        self._made.pop(lane, None)
        for name in self._part.modules:
            self._kept.pop(_key(name, lane), None)
            self._exposed.discard(_key(name, lane))
        for name in self._written.pop(lane, ()):
            self._cache.forget(name)

    # --- one pass of the denoiser ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Learn that a pass begins."""
        self._unread, self._asked = {}, []

    def end(self, window: Window) -> bool:
        """Learn that a pass is over; return whether it asked other modules than the one that made what is kept.

        It may then have been handed zeros that somebody reads.
        """
        if not window.computes:
            return bool(self._part.chained) and self._asked != self._made.get(window.lane)
        self._made[window.lane] = self._asked
        for name, output in self._unread.items():
            if self._ends[name] not in self._asked:
                self._exposed.add(_key(name, window.lane))
                self._write(name, window, output)
        self._unread = {}
        return False

    def see(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Learn what the first module of the part is given."""
        if self._residual is not None:
            self._residual.begin(args, kwargs)

    def ask(self, name: str) -> None:
        """Learn that module `name` was called."""
        self._asked.append(name)

    def read(self, args: Any, kwargs: Any) -> None:
        """Learn what a module that computes is given: nobody else reads that."""
        if self._unread:
            given = {id(one) for one in trees.leaves((args, kwargs))}
            read = [name for name, output in self._unread.items() if {*map(id, trees.leaves(output))} <= given]
            for name in read:
                del self._unread[name]

    def keep(self, name: str, window: Window, output: Any) -> Any:
        """Keep what module `name` computed; return it for every step of the window, time-major."""
        key = _key(name, window.lane)
        self._exposed.discard(key)
        if name in self._part.chained:
            self._unread[name] = output
            groups = len(window.groups) or 1
            self._kept[key] = trees.map_tensors(lambda one: _hollow(one, one.shape[0] // groups), output)
            return self._handed_out(trees.repeat_rows(output, window.rows, len(window.steps)))
        self._write(name, window, output)
        if self._residual is not None:
            return output  # one step: a difference and its base need not add up to the last bit
        return self.answer(name, window)

    def _write(self, name: str, window: Window, output: Any) -> None:
        key = _key(name, window.lane)
        self._kept[key], features = trees.dissect(output)
        if self._residual is not None and name not in self._part.chained:
            features = self._residual.of(features)
        names, shares = [key], [features]
        if window.groups:
            names = [f"{key}:{group}" for group in window.groups]
            pieces = [one.chunk(len(names)) for one in features]
            shares = [tuple(piece[index] for piece in pieces) for index in range(len(names))]
        self._written.setdefault(window.lane, set()).update(names)
        for written, share in zip(names, shares, strict=True):
            self._cache.write(written, window.steps[0], share)

    def _read(self, key: str, window: Window) -> Features:
        """Return what the cache makes of it, the rows of all groups for every step."""
        if not window.groups:
            return self._cache.read(key, window.touched)
        shares = [self._cache.read(f"{key}:{group}", window.touched) for group in window.groups]
        return tuple(interleave(share, len(window.touched)) for share in zip(*shares, strict=True))

    def answer(self, name: str, window: Window) -> Any:
        """Return what stands for the output of module `name` at every step of the window, time-major.

        Raises:
            NotKept: the module did not run when features were made.
        """
        key, times = _key(name, window.lane), len(window.touched)
        if key not in self._kept:
            raise NotKept
        kept = self._kept[key]
        if name in self._part.chained and key not in self._exposed:
            times *= len(window.groups) or 1
            zeros = window.cut(trees.map_tensors(lambda one: _hollow(one, times * one.shape[0]), kept))
            return self._handed_out(trees.map_tensors(lambda one: Repeated(one, 1), zeros))
        features = self._read(key, window)
        if self._residual is not None and name not in self._part.chained:
            features = self._residual.onto(map(whole, features))
        return self._handed_out(window.cut(kept.fill(tuple(features))))

    def _handed_out(self, tree: Any) -> Any:
        return trees.map_tensors(whole, tree) if self.writes else tree


def _ends(part: Part) -> dict[str, str]:
    """Return for every chained module the end of its chain: the next one whose output is kept."""
    found: dict[str, str] = {}
    end = ""
    for name in reversed(part.modules):
        end = end if name in part.chained else name
        found[name] = end
    return {name: found[name] for name in part.chained}


def _key(name: str, lane: int) -> str:
    return f"{name}@{lane}" if lane else name


def _hollow(tensor: Tensor, rows: int) -> Tensor:
    """Return zeros of so many rows that take no memory."""
    return tensor.new_zeros(()).expand(rows, *tensor.shape[1:])
