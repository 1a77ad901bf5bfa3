"""GFLOPs: what fvcore counts once per module, times what the ledger says was run.

fvcore counts one multiply-add as one FLOP. It has no handle for `scaled_dot_product_attention`; ours count, for queries
(B, H, L, E), keys (B, H, S, E) and values (B, H, S, V):

| convention | attention | why |
|---|---|---|
| `full` | B H L S (E + V) | what is computed |
| `paper` | B H L S V | the paper's column: its diffusers computed Q K^T with `baddbmm`, which fvcore does not count |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fdplug import trees
from fdplug.checks import choice

CONVENTIONS = ("full", "paper")
Handle = Callable[[list[Any], list[Any]], int]
_known: WeakKeyDictionary[nn.Module, dict[str, Counter[str]]] = WeakKeyDictionary()


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _attention(share: str) -> Handle:
    def count(inputs: list[Any], outputs: list[Any]) -> int:
        query, key, value = (_shape(one) for one in inputs[:3])
        rows = 1
        for size in query[:-1]:
            rows *= size
        width = value[-1] if share == "paper" else query[-1] + value[-1]
        return rows * key[-2] * width

    return count


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> int:
    batch, rows, inner = _shape(inputs[1])
    return batch * rows * inner * _shape(inputs[2])[-1]


def _handles(convention: str) -> dict[str, Handle]:
    handles: dict[str, Handle] = {"aten::scaled_dot_product_attention": _attention(convention)}
    if convention == "full":
        handles["aten::baddbmm"] = _baddbmm
    return handles


class _Bound(nn.Module):
    """A network with its keyword arguments in place: fvcore passes positional tensors only."""

    def __init__(self, network: nn.Module, arguments: Mapping[str, Any], names: list[str]) -> None:
        super().__init__()
        self.network = network
        self._arguments = arguments
        self._names = names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        arguments = {**self._arguments, **dict(zip(self._names, tensors, strict=True))}
        return tuple(trees.leaves(self.network(**arguments)))  # what no output needs, the trace leaves out


def module_flops(network: nn.Module, arguments: Mapping[str, Any], convention: str = "full") -> Counter[str]:
    """Return FLOPs by dotted module name for one forward pass; the network itself has the empty name.

    Args:
        network: the network to trace; it is run once.
        arguments: its keyword arguments.
        convention: `full` or `paper`, see the module's table.
    """
    from fvcore.nn import FlopCountAnalysis

    choice("convention", convention, CONVENTIONS)
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    bound = _Bound(network, arguments, list(tensors))
    analysis = FlopCountAnalysis(bound, tuple(tensors.values()))
    for operator, handle in _handles(convention).items():
        analysis.set_op_handle(operator, handle)
    analysis.ancestor_mode("caller")  # a module may also be called from outside its owner: that is no cost of the owner
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        counted = analysis.by_module()
    prefix = "network"
    return Counter(
        {name[len(prefix) :].lstrip("."): int(flops) for name, flops in counted.items() if name.startswith(prefix)}
    )


def forget(network: nn.Module) -> None:
    """Forget what the modules of `network` cost: it was changed."""
    _known.pop(network, None)


def outlined_flops(network: nn.Module, arguments: Mapping[str, Any], convention: str) -> Counter[str]:
    """Return `module_flops` for arguments without values; measured once for each network, shapes and convention."""
    key = f"{convention} {_outline(arguments)}"
    known = _known.setdefault(network, {})
    if key not in known:
        reference = next(network.parameters())
        concrete = trees.map_tensors(lambda one: _filled(one, reference.device), arguments)
        known[key] = module_flops(network, concrete, convention)
    return known[key]


def _filled(outline: Tensor, device: torch.device) -> Tensor:
    """Return ones, which no mask hides; zeros for a row of integers, as the first entry is in every embedding."""
    index = outline.dim() == 1 and not outline.is_floating_point()
    fill = torch.zeros if index else torch.ones
    return fill(outline.shape, dtype=outline.dtype, device=device)


def _outline(arguments: Any) -> str:
    return str(trees.map_tensors(lambda one: (tuple(one.shape), str(one.dtype)), arguments))
