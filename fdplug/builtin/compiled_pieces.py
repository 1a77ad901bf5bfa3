"""A denoiser compiled in pieces: what decides about steps stays outside of every graph.

Pieces are the denoiser's blocks, each compiled by itself below whatever was put around it: propagation, token merging,
a cache. A block that has such a thing inside is taken apart further. Encoder blocks are called with the rows of one
step, decoder blocks with those of a whole span; their number is left open in the graph, so that one graph serves spans
of every length.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from fdplug import trees
from fdplug.checks import choice
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.repeated import whole

LAYERS = 2  # with weights: less is not worth a graph
GRAPHS = 64  # of one block's code, which blocks of several widths share
CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")


class CompiledPieces:
    """The pieces of one network, compiled when it is first called: only then all that is put around them is there."""

    def __init__(self, network: nn.Module, dynamic: bool, options: Mapping[str, Any]) -> None:
        """Compile nothing yet.

        Args:
            network: the network to compile.
            dynamic: whether a graph serves any number of rows; otherwise each number gets its own.
            options: those of `torch.compile`.
        """
        self._network = network
        self._dynamic = dynamic
        self._options: dict[str, Any] = {**options, **_limits()}
        self._overwrites = options.get("mode") in CUDA_GRAPH_MODES
        self._outer = PatchStack()
        self._inner = PatchStack()

    def apply(self) -> None:
        """Wait for the first call."""
        self._outer.apply(call_patches(self._network, self._around_network))

    def remove(self) -> None:
        """Leave the network as it was."""
        self._outer.remove()
        self._inner.remove()

    def _around_network(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._inner.patches:
            self._inner.apply([self._patch(piece) for piece in pieces(self._network)])
        if self._overwrites:
            torch.compiler.cudagraph_mark_step_begin()
        return original(*args, **kwargs)

    def _patch(self, piece: nn.Module) -> Patch:
        compiled = torch.compile(piece.forward, dynamic=False, **self._options)

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if _is_watched():
                return original(*args, **kwargs)
            args, kwargs = trees.map_tensors(whole, (args, kwargs))
            if self._dynamic:
                _leave_rows_open(trees.leaves((args, kwargs)))
            output = compiled(*args, **kwargs)
            # What a CUDA graph returns is overwritten by its next call, and features outlive that.
            return trees.map_tensors(torch.clone, output) if self._overwrites else output

        return Patch(piece, "forward", around)


def compile_options(mode: str, backend: str) -> dict[str, Any]:
    """Return the options of `torch.compile`; raise `ConfigError` where torch knows no such mode or backend."""
    from torch._inductor import list_mode_options

    modes = tuple(dict.fromkeys(("default", *list_mode_options())))
    choice("mode", mode, modes)
    choice("backend", backend, tuple(torch.compiler.list_backends(exclude_tags=())))
    return {"backend": backend, **({"mode": mode} if mode != "default" else {})}


def pieces(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest modules inside `network` that are worth a graph and have nothing put around what is inside."""
    for child in network.children():
        if not _is_worth_it(child):
            continue
        inside = [one for one in child.modules() if one is not child]
        if _runs(child) and "forward" not in vars(child) and not any(map(_is_patched, inside)):
            yield child
        else:
            yield from pieces(child)


def _runs(module: nn.Module) -> bool:
    return not isinstance(module, nn.ModuleList | nn.ModuleDict)


def _is_worth_it(module: nn.Module) -> bool:
    layers = (one for one in module.modules() if next(one.parameters(recurse=False), None) is not None)
    return len([one for one, _ in zip(layers, range(LAYERS), strict=False)]) == LAYERS


def _is_patched(module: nn.Module) -> bool:
    return "_call_impl" in vars(module) or "forward" in vars(module)


def _is_watched() -> bool:
    """Whether somebody counts or traces operations, who would see nothing inside of a graph."""
    return torch.jit.is_tracing() or _get_current_dispatch_mode() is not None


def _leave_rows_open(tensors: list[Tensor]) -> None:
    """Mark the number of rows, if it is more than one, as a number that may change."""
    rows = tensors[0].shape[0] if tensors and tensors[0].dim() else 1
    for tensor in tensors if rows > 1 else ():
        if tensor.dim() and tensor.shape[0] == rows:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)


def _limits() -> dict[str, Any]:
    """Let blocks that share their code have a graph each; before torch 2.13 the limit is torch's own."""
    known = "recompile_limit" in inspect.signature(torch.compile).parameters
    return {"recompile_limit": GRAPHS} if known else {}
