"""The transform `compile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fdplug.hooks import hookimpl
from fdplug.space import Space
from fdplug.transforms import Transform

if TYPE_CHECKING:
    from fdplug.builtin.compiled_pieces import CompiledPieces


class Compile(Transform):
    """Compiles the denoiser's blocks with `torch.compile`, one by one below propagation: no step is part of a graph.

    The first run compiles, which takes minutes for a large model. Spans of all lengths share their graphs.

    Args:
        mode: what `torch.compile` takes: `default`, `reduce-overhead` (CUDA graphs), `max-autotune-no-cudagraphs`, ...
        backend: the compiler.
        dynamic: one graph for every number of rows; otherwise each batch and span length is compiled by itself.
    """

    name = "compile"
    changes_cost = False

    def __init__(self, mode: str = "default", backend: str = "inductor", dynamic: bool = True) -> None:
        self.mode = mode
        self.backend = backend
        self.dynamic = bool(dynamic)
        self._compiled: list[CompiledPieces] = []

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try it where there is a GPU: on a CPU compiling takes longer than a search should."""
        import torch

        return {} if torch.cuda.is_available() else None

    def apply(self, pipe: Any) -> None:
        """Have the denoiser, and the networks that run beside it, compiled at their first call.

        Raises:
            ConfigError: torch knows no such backend or mode.
        """
        from fdplug.builtin.compiled_pieces import CompiledPieces, compile_options
        from fdplug.lookup import find_families

        options = compile_options(self.mode, self.backend)
        denoisers = find_families(pipe)
        parts = [part for family, network in denoisers for part in family.parts(network)]
        companions = sorted({companion.component for part in parts for companion in part.companions})
        for one in (*(network for _, network in denoisers), *(getattr(pipe, name, None) for name in companions)):
            if one is not None:
                self._compiled.append(CompiledPieces(one, self.dynamic, options))
                self._compiled[-1].apply()

    def undo(self, pipe: Any) -> None:
        while self._compiled:
            self._compiled.pop().remove()


@hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the transform."""
    yield Compile
