"""What modules are set to at one moment, so that it is quickly told whether they are set to something else since."""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, compress, filterfalse, islice, repeat
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from fdplug.propagation.calls.given import place, version

_FIRST = tuple(vars(nn.Module()))  # what every module holds before anything of its own
TORCH = frozenset(_FIRST) - {"training"}
PLAIN = (bool, int, float, str, type(None))
_BORDERS = ("padding", "padding_mode", "dilation")  # changed for seamless tiles, and for sizes that nobody trained
# Modules of torch's own, and those of their options that somebody changes in the middle of a run.
SIMPLE: dict[type, tuple[str, ...]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _BORDERS),
    **dict.fromkeys((nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.SiLU, nn.GELU), ()),
    nn.Dropout: ("p", "training"),
}
FUNCTIONS = frozenset({FunctionType, MethodType, functools.partial})
BATCH_NORM = nn.modules.batchnorm._BatchNorm
_CONTAINERS = frozenset({dict, list, tuple})

# What reads values, and what holds them; None in place of it: of what holds them the names count, and how many.
Place = tuple[Callable[[Any], Iterable[Any]] | None, Any]
_versions = operator.attrgetter("_version")


class Snapshot:
    """The values that were found, the sizes of what holds them, how often each tensor was written to, and its place."""

    def __init__(
        self, kinds: list[type], names: list[Any], values: list[Any], sizes: list[int], versions: list[int]
    ) -> None:
        self.kinds, self.names, self.values, self.sizes, self.versions = kinds, names, values, sizes, versions

    def is_same(self, other: Snapshot) -> bool:
        """Whether both hold the very same objects."""
        return self._sized_like(other) and all(map(operator.is_, self.values, other.values))

    def is_alike(self, other: Snapshot) -> bool:
        """Whether both hold the same objects, or numbers and text that are equal."""
        return self._sized_like(other) and all(map(_alike, self.values, other.values))

    def _sized_like(self, other: Snapshot) -> bool:
        return self.versions == other.versions and self.shape == other.shape

    @property
    def shape(self) -> tuple[list[int], list[type], list[Any], int]:
        """All but the values and what was written to them: where they lie, and how many there are."""
        return self.sizes, self.kinds, self.names, len(self.values)


class Forgotten:
    """What a snapshot held, but for its tensors, which may be freed: there is a weak reference to each."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._are = list(_are_tensors(snapshot.values))
        self._are_not = list(map(operator.not_, self._are))
        self._tensors = list(map(weakref.ref, compress(snapshot.values, self._are)))
        self._others = list(compress(snapshot.values, self._are_not))
        self._shape = snapshot.shape

    def is_same(self, found: Snapshot) -> bool:
        """Whether a snapshot holds the very same objects; its tensors may have been written to since."""
        if self._shape != found.shape:
            return False
        others = compress(found.values, self._are_not)
        try:  # to one tensor there is one weak reference; what is no tensor any more may not even have one
            tensors = map(weakref.ref, compress(found.values, self._are))
            return all(map(operator.is_, self._others, others)) and all(map(operator.is_, self._tensors, tensors))
        except TypeError:
            return False


def _are_tensors(values: Iterable[Any]) -> Iterator[bool]:
    """Yield whether each is a tensor; values are looked at in the thousands, so that no Python runs for each."""
    return map(isinstance, values, repeat(Tensor))


def _alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is tuple:
        return len(one) == len(other) and all(map(_alike, one, other))
    return kind in _CONTAINERS or (kind in PLAIN and one == other)  # what these hold is compared by itself


class Settings:
    """Where modules keep options, adapters and their strengths, processors, hooks and weights.

    The places are looked for once, and again only where something has come or gone: to look at hundreds of modules then
    takes a tenth of a millisecond.
    """

    def __init__(self, modules: Sequence[nn.Module], places: Callable[[nn.Module], list[Place]] | None = None) -> None:
        """Know where to look.

        Args:
            modules: whose settings they are.
            places: returns where a module keeps those that count; None: all of them do.
        """
        self._modules, self._places_of = modules, places or _places
        self._methods: list[tuple[type, str]] = []
        self._last: Snapshot | None = None
        self._forgotten: Forgotten | None = None

    def _find(self) -> None:
        """Look for the places."""
        places = [place for one in self._modules for place in self._places_of(one)]
        read = [(reader, held) for reader, held in places if reader is not None and held]
        self._readers, self._held = [one for one, _ in read], [held for _, held in read]
        self._sized = [held for reader, held in places if type(reader) is not operator.itemgetter]
        self._names = [tuple(held) for reader, held in places if reader is None]
        self._methods = [*_methods(self._modules)]
        self._moved = any(map(_is_moved, map(vars, self._modules)))
        self._hold(self._values())

    def _hold(self, values: list[Any]) -> None:
        self._tensors = list(compress(values, _are_tensors(values)))
        self._placed = [] if self._moved else self._tensors

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
        if self.is_as_forgotten():
            self._hold(self._values())
            return self._look()
        try:
            found = None if self._last is None else self._look()
        except KeyError:  # an attribute is gone
            return None
        return self._last if found and self._last and found.is_same(self._last) else None

    def forget(self) -> None:
        """Hold on to no tensor: what is remembered only tells whether the places are still the same."""
        if self._last is not None:
            self._forgotten = Forgotten(self._last)
        self._last, self._tensors, self._placed = None, [], []

    def is_as_forgotten(self) -> bool:
        """Whether the very same is set as when it was forgotten; tensors may have been written to since."""
        if self._last is not None or self._forgotten is None:
            return False
        try:
            found = Snapshot(self._kinds(), self._names, self._values(), self._sizes(), [])
        except KeyError:
            return False
        return self._forgotten.is_same(found)

    def _look(self) -> Snapshot:
        return Snapshot(self._kinds(), self._names, self._values(), self._sizes(), self._written())

    def _kinds(self) -> list[type]:
        return list(map(type, self._modules))

    def _sizes(self) -> list[int]:
        return list(map(len, self._sized))

    def _values(self) -> list[Any]:
        found = chain.from_iterable(map(operator.call, self._readers, self._held))
        return [*found, *[getattr(kind, name) for kind, name in self._methods], *_surroundings()]

    def _written(self) -> list[int]:
        try:
            return [*map(_versions, self._tensors), *map(Tensor.data_ptr, self._placed)]
        except RuntimeError:  # tensors of inference mode, or without a place of their own
            return [*map(version, self._tensors), *map(place, self._placed)]


def _methods(modules: Sequence[nn.Module]) -> Iterator[tuple[type, str]]:
    """Yield the classes of modules and of attention processors, and what of them computes."""
    yield from ((kind, "forward") for kind in dict.fromkeys(map(type, modules)))
    for kind in dict.fromkeys(type(held["processor"]) for held in map(vars, modules) if "processor" in held):
        if any("__call__" in vars(one) for one in kind.__mro__):
            yield kind, "__call__"


def _surroundings() -> Iterator[Any]:
    """Yield what torch itself is set to: hooks of every module, and what operations are cast to, by device."""
    yield from global_hooks()
    for device in ("cpu", "cuda", "xpu", "mps"):
        yield torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def global_hooks() -> list[Any]:
    """Return what others let torch run around the forward of every module there is; torch's own counters are none."""
    hooks = (*_global_forward_pre_hooks.values(), *_global_forward_hooks.values())
    return [one for one in hooks if not str(getattr(one, "__module__", "")).startswith("torch.")]


def _is_moved(held: dict[str, Any]) -> bool:
    """Whether hooks of diffusers or accelerate move or cast a module's weights around its calls."""
    return "_diffusers_hook" in held or "_hf_hook" in held


def _places(module: nn.Module, weights: bool = True) -> list[Place]:
    """Return where a module keeps what may be set.

    Args:
        module: the module.
        weights: its weights and buffers count, too; those of batch statistics do in any case.
    """
    held = vars(module)
    found: list[Place] = [(None, held), (list, held["_forward_pre_hooks"]), (list, held["_forward_hooks"])]
    options = SIMPLE.get(type(module))
    weights &= "_hf_hook" not in held  # accelerate puts weights in and out again around every call of what it offloads
    if weights:
        found.append((dict.values, held["_parameters"]))
    if (weights and (options is None or held["_buffers"])) or isinstance(module, BATCH_NORM):
        found.append((dict.values, held["_buffers"]))  # those that are simple have none, and would read none
    names = own_names(held)
    if options is None:
        found.append((dict.values, held["_modules"]))
        mode = ("training",) if "training" in held else ()  # what torch.compile returns asks the module inside
        return [*found, *attributes(held, (*mode, *names))]
    functions = [name for name in names if type(held[name]) in FUNCTIONS]
    return [*found, *attributes(held, (*options, *functions))]


but_weights = functools.partial(_places, weights=False)


def own_names(held: dict[str, Any]) -> Sequence[str]:
    """Return the names of what a module holds beyond what every module of torch does."""
    names = islice(held, len(_FIRST) - 1, None)
    if next(names, None) == _FIRST[-1]:  # in their usual order, torch's own come first
        return [*names]
    return [*filterfalse(_FIRST.__contains__, held)]


def attributes(held: dict[str, Any], names: Sequence[str], inside: bool = True) -> Iterator[Place]:
    """Yield where some attributes are kept, and what containers among them hold.

    Args:
        held: an object's attributes.
        names: which of them.
        inside: look into attention processors, too.
    """
    if names:
        yield _reader(tuple(names)), held
    for name in names:
        value = held[name]
        if type(value) in _CONTAINERS:
            yield from _contents(value)
        elif name == "processor" and inside and hasattr(value, "__dict__"):
            yield None, vars(value)
            yield from attributes(vars(value), [*vars(value)])


def _contents(container: Any, depth: int = 4) -> Iterator[Place]:
    keyed = type(container) is dict
    yield _items if keyed else list, container
    for one in container.values() if keyed else container:
        if depth and type(one) in _CONTAINERS:
            yield from _contents(one, depth - 1)


def _items(held: dict[Any, Any]) -> tuple[Any, ...]:
    return *held, *held.values()


@functools.lru_cache(maxsize=1024)
def _reader(names: tuple[str, ...]) -> Callable[[Any], Iterable[Any]]:
    """Return what reads these attributes."""
    return operator.itemgetter(*names) if len(names) > 1 else operator.itemgetter(*names, *names)  # one makes no tuple
