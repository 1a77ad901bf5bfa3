"""Tensors inside nested tuples, lists, mappings and diffusers outputs; modules inside networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fdplug import repeated
from fdplug.repeated import Repeated


def map_tensors(function: Callable[[Tensor], Any], tree: Any, memo: dict[int, Any] | None = None) -> Any:
    """Return `tree` with every tensor replaced; a tensor that occurs twice is replaced by one object, twice."""
    memo = {} if memo is None else memo
    if isinstance(tree, Tensor):
        if id(tree) not in memo:
            memo[id(tree)] = function(tree)
        return memo[id(tree)]
    if isinstance(tree, Mapping):
        items = {key: map_tensors(function, value, memo) for key, value in tree.items()}
        return _like(tree, items)
    if isinstance(tree, list | tuple):
        values = [map_tensors(function, value, memo) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return tree


def _like(tree: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """Return a mapping of the same class; outputs of diffusers and transformers are made from their fields."""
    if type(tree) is dict:
        return items
    if is_dataclass(tree):
        return type(tree)(**items)
    if isinstance(tree, defaultdict):
        return type(tree)(tree.default_factory, items)
    return type(tree)(items)  # type: ignore[call-arg]


def leaves(tree: Any) -> list[Tensor]:
    """Return the distinct tensors of `tree`, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, tree)
    return found


class _Slot(int):
    """Where the tensor of this index stands."""


class Skeleton:
    """The shape of a nested output without its tensors."""

    def __init__(self, tree: Any) -> None:
        """Take what `dissect` found: slots in place of tensors."""
        self._tree = tree

    def __eq__(self, other: object) -> bool:
        """Whether all that is not a tensor is equal, and tensors stand in the same places."""
        return isinstance(other, Skeleton) and self._tree == other._tree

    def fill(self, tensors: tuple[Tensor, ...]) -> Any:
        """Return the output with these tensors, in the order of `leaves`."""
        return _fill(self._tree, tensors)


def dissect(tree: Any) -> tuple[Skeleton, tuple[Tensor, ...]]:
    """Return the shape of `tree` and its distinct tensors, in order."""
    if isinstance(tree, Tensor):
        return Skeleton(_Slot(0)), (tree,)
    found: list[Tensor] = []

    def slot(tensor: Tensor) -> _Slot:
        found.append(tensor)
        return _Slot(len(found) - 1)

    return Skeleton(map_tensors(slot, tree)), tuple(found)


def _fill(tree: Any, tensors: tuple[Tensor, ...]) -> Any:
    if isinstance(tree, _Slot):
        return tensors[tree]
    if isinstance(tree, Mapping):
        items = {key: _fill(value, tensors) for key, value in tree.items()}
        return _like(tree, items)
    if isinstance(tree, list | tuple):
        values = [_fill(value, tensors) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return tree


def repeat_rows(tree: Any, rows: int, times: int) -> Any:
    """Repeat every tensor of `rows` rows (times frames) `times` times, time-major; others are left to broadcast."""
    if times == 1:
        return tree

    def repeat(tensor: Tensor) -> Tensor:
        return tensor if tensor.dim() == 0 or tensor.shape[0] % rows else repeated.repeat(tensor, times)

    return map_tensors(repeat, tree)


def first_rows(tree: Any, rows: int, times: int) -> Any:
    """Undo `repeat_rows`: keep the first of `times` equal parts of every tensor that has them."""
    if times == 1:
        return tree

    def cut(tensor: Tensor) -> Tensor:
        if tensor.dim() == 0 or tensor.shape[0] == 0 or tensor.shape[0] % (rows * times):
            return tensor
        if isinstance(tensor, Repeated) and tensor.times == times:
            return tensor.first()
        return tensor[: tensor.shape[0] // times]

    return map_tensors(cut, tree)


def cut_rows(tree: Any, rows: int, start: int, stop: int) -> Any:
    """Keep rows `start` to `stop` of every tensor of `rows` rows (times frames); others are left to broadcast."""
    if (start, stop) == (0, rows):
        return tree

    def cut(tensor: Tensor) -> Tensor:
        if tensor.dim() == 0 or tensor.shape[0] == 0 or tensor.shape[0] % rows:
            return tensor
        frames = tensor.shape[0] // rows
        return tensor[start * frames : stop * frames]

    return map_tensors(cut, tree)


def join_rows(trees: list[Any]) -> Any:
    """Put the tensors of trees of one shape together along their first dimension; undoes cutting into shares."""
    if len(trees) == 1:
        return trees[0]
    rest = [iter(leaves(tree)) for tree in trees[1:]]
    return map_tensors(lambda tensor: torch.cat([tensor, *map(next, rest)]), trees[0])


def split_rows(tree: Any, times: int, listed: bool = False) -> list[Any]:
    """Cut every tensor into `times` equal parts along its first dimension; return one tree per part.

    Args:
        tree: what holds the rows of all steps, time-major.
        times: number of steps.
        listed: whether rows come as a list of tensors, which is cut instead.
    """
    if times == 1:
        return [tree]
    if listed:
        return [_share(tree, index, times) for index in range(times)]
    parts = {id(tensor): torch.chunk(tensor, times) for tensor in leaves(tree)}
    return [map_tensors(lambda tensor, index=index: parts[id(tensor)][index], tree) for index in range(times)]


def _share(tree: Any, index: int, times: int) -> Any:
    """Return the tree with one of `times` equal parts of each list in it."""
    if isinstance(tree, list):
        size = len(tree) // times
        return tree[index * size : (index + 1) * size]
    if isinstance(tree, Mapping):
        return _like(tree, {key: _share(value, index, times) for key, value in tree.items()})
    return tuple(_share(value, index, times) for value in tree) if isinstance(tree, tuple) else tree


def modules(network: nn.Module) -> list[nn.Module]:
    """Return a network and all modules inside it, each once; a quarter of the time that `nn.Module.modules` takes."""
    found, seen = [network], {id(network)}
    for one in found:
        for inner in one._modules.values():
            if inner is not None and id(inner) not in seen:
                seen.add(id(inner))
                found.append(inner)
    return found


def named_modules(network: nn.Module, but: Iterable[nn.Module] = ()) -> dict[str, nn.Module]:
    """Return what `nn.Module.named_modules` yields, in less time.

    Args:
        network: the module to begin with.
        but: modules that are left out, with what is reached through them alone.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set(map(id, but))
    waiting: list[tuple[str, nn.Module]] = [("", network)]
    while waiting:
        name, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        found[name] = one
        if inner := one._modules:
            prefix = f"{name}." if name else ""
            waiting += [(prefix + key, inner[key]) for key in reversed(inner) if inner[key] is not None]  # type: ignore[misc]
    return found
