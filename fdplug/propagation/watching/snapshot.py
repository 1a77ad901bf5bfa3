"""What modules are set to at one moment, so that it is quickly told whether they are set to something else since."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from torch import Tensor, nn

from fdplug.propagation.calls.given import version

TORCH = frozenset(vars(nn.Module())) - {"training"}
PLAIN = (bool, int, float, str, type(None))
# Modules of torch's own without options that somebody would change in the middle of a run.
_SIMPLE = frozenset(
    {nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm, nn.SiLU, nn.GELU, nn.Dropout}
)
_CONTAINERS = (dict, list, tuple)

Place = tuple[Callable[[Any], Iterable[Any]], Any]  # what reads values, and what holds them
_versions = operator.attrgetter("_version")


class Snapshot:
    """The values that were found, the sizes of what holds them, and how often each tensor had been written to."""

    def __init__(self, names: list[Any], values: list[Any], sizes: list[int], versions: list[int]) -> None:
        self.names, self.values, self.sizes, self.versions = names, values, sizes, versions

    def is_same(self, other: Snapshot) -> bool:
        """Whether both hold the very same objects."""
        return self._sized_like(other) and all(map(operator.is_, self.values, other.values))

    def is_alike(self, other: Snapshot) -> bool:
        """Whether both hold the same objects, or numbers and text that are equal."""
        return self._sized_like(other) and all(map(_alike, self.values, other.values))

    def _sized_like(self, other: Snapshot) -> bool:
        same = self.versions == other.versions and self.sizes == other.sizes and self.names == other.names
        return same and len(self.values) == len(other.values)


def _alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    return kind in _CONTAINERS or (kind in PLAIN and one == other)  # what containers hold is compared by itself


class Settings:
    """Where modules keep options, adapters and their strengths, processors, hooks and weights.

    The places are looked for once, and again only where something has come or gone: to look at hundreds of modules then
    takes a tenth of a millisecond.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._last: Snapshot | None = None

    def _find(self) -> None:
        """Look for the places."""
        held = [vars(one) for one in self._modules]
        places = [place for one in self._modules for place in _places(one)]
        self._places = [place for place in places if place[1]]
        self._sized = [*held, *[place[1] for place in places]]
        self._names = [*map(tuple, held)]
        self._tensors = [one for one in self._values() if isinstance(one, Tensor)]

    def snapshot(self) -> Snapshot:
        """Return what is set now."""
        found = self._look_again()
        if found is None:
            self._find()
            found = self._look()
        self._last = found
        return found

    def _look_again(self) -> Snapshot | None:
        """Return what is set now; None where it is not what it was when the places were looked for."""
        try:
            found = None if self._last is None else self._look()
        except KeyError:  # an attribute is gone
            return None
        return self._last if found and self._last and found.is_same(self._last) else None

    def forget(self) -> None:
        """Hold on to none of the values."""
        self._last, self._tensors = None, []

    def _look(self) -> Snapshot:
        return Snapshot(self._names, self._values(), list(map(len, self._sized)), self._written())

    def _values(self) -> list[Any]:
        return list(chain.from_iterable([read(held) for read, held in self._places]))

    def _written(self) -> list[int]:
        try:
            return list(map(_versions, self._tensors))
        except RuntimeError:  # tensors of inference mode
            return list(map(version, self._tensors))


def _places(module: nn.Module) -> list[Place]:
    """Return where a module keeps what may be set."""
    held = vars(module)
    found: list[Place] = [(list, held["_forward_pre_hooks"]), (list, held["_forward_hooks"])]
    if "_hf_hook" not in held:  # accelerate puts weights in and out again around every call of what it offloads
        found += (dict.values, held["_parameters"]), (dict.values, held["_buffers"])
    if type(module) not in _SIMPLE:
        found.append((dict.values, held["_modules"]))
        found += _attributes(held, [name for name in held if name not in TORCH])
    return found


def _attributes(held: dict[str, Any], names: Collection[str]) -> Iterator[Place]:
    if names:
        yield _reader(*names), held
    for name in names:
        value = held[name]
        if name == "processor" and hasattr(value, "__dict__"):
            yield from _attributes(vars(value), vars(value))
        elif type(value) in _CONTAINERS:
            yield from _contents(value)


def _contents(container: Any, depth: int = 4) -> Iterator[Place]:
    keyed = type(container) is dict
    yield _items if keyed else list, container
    for one in container.values() if keyed else container:
        if depth and type(one) in _CONTAINERS:
            yield from _contents(one, depth - 1)


def _items(held: dict[Any, Any]) -> tuple[Any, ...]:
    return *held, *held.values()


def _reader(*names: str) -> Callable[[Any], Iterable[Any]]:
    """Return what reads these attributes."""
    one = operator.itemgetter(names[0])
    return operator.itemgetter(*names) if len(names) > 1 else lambda held: (one(held),)
