"""FLOPs without numbers: a forward pass on the meta device, counted by torch's own counter, module by module.

fvcore, which counts what ran, needs real tensors; this does not, so that a model of any size is counted in a moment.
Both give the same figures, a multiply-add being one FLOP, but for what is no arithmetic and fvcore counts nevertheless:
repeating pixels, and permuting axes by `einsum`; less than 1 % of any block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from fdplug.checks import choice
from fdplug.profiling.conventions import CONVENTIONS


def meta_flops(network: nn.Module, arguments: Mapping[str, Any], convention: str = "full") -> Counter[str]:
    """Return FLOPs by dotted module name for one forward pass; the network itself has the empty name.

    Args:
        network: a network on the meta device, or any other.
        arguments: its keyword arguments, tensors on the same device.
        convention: `full` or `paper`, as in `fdplug.profiling.flops`.
    """
    choice("convention", convention, CONVENTIONS)
    counter = FlopCounterMode(display=False, custom_mapping=_extra())
    with torch.no_grad(), counter, _Attention(half=convention == "paper"):
        network(**arguments)
    prefix = type(network).__name__
    return Counter(
        {
            name[len(prefix) :].lstrip("."): sum(operators.values()) // 2  # torch counts a multiply-add twice
            for name, operators in counter.get_flop_counts().items()
            if name == prefix or name.startswith(f"{prefix}.")
        }
    )


def _extra() -> dict[Any, Any]:
    aten = torch.ops.aten
    return {aten.native_group_norm: _norm(1), aten.native_layer_norm: _norm(2), aten._int_mm: _product}


def _product(one: tuple[int, ...], other: tuple[int, ...], *shapes: Any, **kwargs: Any) -> int:
    """A product of matrices of 8-bit integers."""
    return 2 * one[0] * one[1] * other[1]


def _norm(weight: int) -> Any:
    """The rough estimate of fvcore: 5 per entry with an affine map, 4 without."""

    def count(shape: tuple[int, ...], *shapes: Any, **kwargs: Any) -> int:
        affine = shapes[weight - 1] is not None
        return 2 * prod(shape) * (5 if affine else 4)

    return count


class _Attention(TorchFunctionMode):
    """Attention as two products of matrices, or as the second one alone: half of it, as in the paper's column."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.half = half

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        names = ("query", "key", "value")
        query, key, value = (kwargs[name] if name in kwargs else args[index] for index, name in enumerate(names))
        return self._attend(query, key, value)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.shape[1] != key.shape[1]:  # several heads of the query share one of the key
            key, value = (one.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for one in (key, value))
        weights = query.new_empty(*query.shape[:-1], key.shape[-2]) if self.half else query @ key.transpose(-1, -2)
        return weights @ value
