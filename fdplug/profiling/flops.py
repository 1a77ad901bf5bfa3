"""GFLOPs: what fvcore counts once per module, times what the ledger says was run.

fvcore counts one multiply-add as one FLOP. It has no handle for `scaled_dot_product_attention`; ours count, for queries
(B, H, L, E), keys (B, H, S, E) and values (B, H, S, V):

| convention | attention | why |
|---|---|---|
| `full` | B H L S (E + V) | what is computed |
| `paper` | B H L S V | the paper's column: its diffusers computed Q K^T with `baddbmm`, which fvcore does not count |
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fdplug import trees
from fdplug.checks import choice
from fdplug.profiling.conventions import CONVENTIONS
from fdplug.profiling.meta_flops import meta_flops
from fdplug.profiling.outline import outlined
from fdplug.profiling.packed import unpacked

log = logging.getLogger(__name__)

UNPUBLISHED = "what the paper's column leaves out"
_known: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], dict[str, Counter[str]]]] = WeakKeyDictionary()


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    query, key, value = (_shape(one) for one in inputs[:3])
    scores = prod(query[:-1]) * key[-2]
    return Counter({UNPUBLISHED: scores * query[-1], "attention": scores * value[-1]})


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    batch, rows, inner = _shape(inputs[1])
    return Counter({UNPUBLISHED: batch * rows * inner * _shape(inputs[2])[-1]})


HANDLES = {"aten::scaled_dot_product_attention": _attention, "aten::baddbmm": _baddbmm}


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
    choice("convention", convention, CONVENTIONS)
    return _counted(network, arguments)[convention]


def _counted(network: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return `module_flops` by convention; one trace serves both."""
    from fvcore.nn import FlopCountAnalysis

    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    bound = _Bound(network, arguments, list(tensors))
    analysis = FlopCountAnalysis(bound, tuple(tensors.values()))
    for operator, handle in HANDLES.items():
        analysis.set_op_handle(operator, handle)
    analysis.ancestor_mode("caller")  # a module may also be called from outside its owner: that is no cost of the owner
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        counted = analysis.by_module_and_operator()
    prefix = "network"
    own = {name[len(prefix) :].lstrip("."): one for name, one in counted.items() if name.startswith(prefix)}
    full = Counter({name: int(sum(one.values())) for name, one in own.items()})
    paper = Counter({name: full[name] - int(one[UNPUBLISHED]) for name, one in own.items()})
    return {"full": full, "paper": paper}


def forget(network: nn.Module) -> None:
    """Forget what the modules of `network` cost: it was changed."""
    _known.pop(network, None)


def outlined_flops(
    network: nn.Module, arguments: Mapping[str, Any], convention: str, made_of: tuple[Any, ...] = ()
) -> Counter[str]:
    """Return `module_flops` for arguments without values; measured once for each network and shapes.

    Args:
        network: the network.
        arguments: its keyword arguments.
        convention: `full` or `paper`.
        made_of: what the network is made of; counted again where that is something else.
    """
    choice("convention", convention, CONVENTIONS)
    key = made_of, outlined(arguments)
    known = _known.setdefault(network, {})
    if key not in known:
        reference = next(network.parameters())
        concrete = trees.map_tensors(lambda one: _filled(one, reference.device), arguments)
        known[key] = _traced_or_run(network, concrete)
    return known[key][convention]


def is_known(network: nn.Module, arguments: Mapping[str, Any], made_of: tuple[Any, ...]) -> bool:
    """Whether `outlined_flops` was measured for this."""
    return (made_of, outlined(arguments)) in _known.get(network, {})


def _traced_or_run(network: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Count with fvcore, or, where torch's tracer cannot follow a network's code, with torch's own counter."""
    with unpacked(network):
        try:
            return _counted(network, arguments)
        except (RuntimeError, TypeError) as error:
            log.info("%s cannot be traced (%s): counted as it runs", type(network).__name__, error)
            return {convention: meta_flops(network, arguments, convention) for convention in CONVENTIONS}


def _filled(outline: Tensor, device: torch.device) -> Tensor:
    """Return the values that it has, or ones, which no mask hides.

    A row of integers becomes zeros, as the first entry is in every embedding.
    """
    if outline.device.type != "meta":
        return outline.to(device)
    index = outline.dim() == 1 and not outline.is_floating_point()
    fill = torch.zeros if index else torch.ones
    return fill(outline.shape, dtype=outline.dtype, device=device)
