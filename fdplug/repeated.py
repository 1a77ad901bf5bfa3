"""Copies of features for the steps of a span, written only where something needs them one by one.

A span of n steps hands every feature of B rows to the decoder as n * B rows. What most denoisers do with a feature is
to join it to something else (`torch.cat` of a skip connection) or to add a residual of the same span. Both work on the
B rows; so the n copies of all skip connections never lie in memory at once, and are written once, where they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

_CAT, _ADD = torch.ops.aten.cat.default, torch.ops.aten.add.Tensor


class Repeated(Tensor):
    """`times` copies of `source`, (B, ...), one after the other: (times * B, ...).

    It behaves like fresh memory: before anything is written to it, or a view of it taken, the copies are made, and
    `source` stays as it is.
    """

    source: Tensor
    times: int
    _whole: Tensor | None

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyrefly: ignore

    @staticmethod
    def __new__(cls, source: Tensor, times: int) -> Repeated:
        """Return `times` copies of `source` that take no memory yet."""
        made = Tensor._make_wrapper_subclass(
            cls,
            (times * source.shape[0], *source.shape[1:]),
            strides=_strides(source),
            dtype=source.dtype,
            device=source.device,
        )
        made.source, made.times, made._whole = source, times, None
        return made

    @property
    def written(self) -> bool:
        """Whether the copies have been made."""
        return self._whole is not None

    def whole(self) -> Tensor:
        """Return the copies as a plain tensor, always the same one."""
        if self._whole is None:
            source = self.source
            made = torch.empty_strided(self.shape, _strides(source), dtype=source.dtype, device=source.device)
            self._place(made)
            self._whole = made
        return self._whole

    def _place(self, target: Tensor) -> None:
        """Write the copies into `target`, (times * B, ...)."""
        if self._whole is None:
            target.unflatten(0, (self.times, -1)).copy_(self.source)
        else:
            target.copy_(self._whole)

    def first(self) -> Tensor:
        """Return the rows of the first copy, (B, ...)."""
        return self.source if self._whole is None else self._whole[: self.source.shape[0]]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Repeated({tuple(self.source.shape)}, times={self.times}, written={self.written})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # pyrefly: ignore
        """Join and add without copies where that is possible; make them for everything else."""
        kwargs = kwargs or {}
        result = None
        if func is _CAT and not kwargs:
            result = _joined(args[0], args[1] if len(args) > 1 else 0)
        elif func is _ADD and not kwargs and _alike(args):
            result = Repeated(args[0].source + args[1].source, args[0].times)
        if result is not None:
            return result
        args, kwargs = tree_map_only(Repeated, whole, (args, kwargs))
        return func(*args, **kwargs)


def _strides(source: Tensor) -> tuple[int, ...]:
    """Return strides under which more rows lie densely behind each other, in the memory format of `source`."""
    if not source.is_contiguous() and source.dim() == 4 and source.is_contiguous(memory_format=torch.channels_last):
        channels, width = source.shape[1], source.shape[3]
        return (source[0].numel(), 1, width * channels, channels)
    strides = [1]
    for size in reversed(source.shape[1:]):
        strides.insert(0, strides[0] * size)
    return tuple(strides)


def _alike(tensors: Sequence[Any]) -> TypeGuard[Sequence[Repeated]]:
    """Whether all are copies of as many rows, as often, and none has been written to."""
    kinds = {(one.times, len(one.source)) if isinstance(one, Repeated) and not one.written else None for one in tensors}
    return len(kinds) == 1 and None not in kinds


def _joined(tensors: Sequence[Tensor], dim: int) -> Tensor | None:
    """Return `torch.cat(tensors, dim)`, every copy written once, where it will be read; None where that cannot be."""
    first = tensors[0]
    if dim % first.dim() == 0 or any(one.dtype != first.dtype or one.dim() != first.dim() for one in tensors):
        return None
    if _alike(tensors):
        return Repeated(torch.cat([one.source for one in tensors], dim), tensors[0].times)
    shape = list(first.shape)
    shape[dim] = sum(one.shape[dim] for one in tensors)
    target = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=_format(tensors))
    pieces = target.split([one.shape[dim] for one in tensors], dim)
    for one, piece in zip(tensors, pieces, strict=True):
        if isinstance(one, Repeated):
            one._place(piece)
        else:
            piece.copy_(one)
    return target


def _format(tensors: Sequence[Tensor]) -> torch.memory_format:
    last = all(one.dim() == 4 and one.is_contiguous(memory_format=torch.channels_last) for one in tensors)
    plain = all(one.is_contiguous() for one in tensors)
    return torch.channels_last if last and not plain else torch.contiguous_format


def repeat(source: Tensor, times: int) -> Tensor:
    """Return `times` copies of (B, ...) one after the other, as good as fresh memory: (times * B, ...).

    They are written at once where gradients or a trace must see them.
    """
    if times == 1:
        return source.clone()
    if source.requires_grad or isinstance(source, Repeated) or torch.jit.is_tracing():
        return source.repeat(times, *[1] * (source.dim() - 1))
    return Repeated(source, times)


def interleave(shares: Sequence[Tensor], times: int) -> Tensor:
    """Join rows of several shares, each (times * B, ...) and time-major, to (times * shares * B, ...), time-major."""
    if len(shares) == 1:
        return shares[0]
    if times == 1:
        return torch.cat([whole(one) for one in shares])
    if _alike(shares):
        return Repeated(torch.cat([one.source for one in shares]), times)
    return torch.cat([whole(one).unflatten(0, (times, -1)) for one in shares], 1).flatten(0, 1)


def whole(tensor: Tensor) -> Tensor:
    """Return a plain tensor: the copies of a repeated one, or the tensor itself."""
    return tensor.whole() if isinstance(tensor, Repeated) else tensor
