"""Transforms: changes of a pipeline that are not a schedule (token merging, compilation, quantization)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.hooks import hookimpl
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from fdplug.compiled import CompiledPieces
    from fdplug.ledger import Ledger

__all__ = ["Compile", "NoTransform", "Transform"]


class Transform(Stackable, ABC):
    """Changes a pipeline in place and takes the change back exactly.

    Attributes:
        changes_cost: whether a pass of the denoiser costs other GFLOPs with it, which can then be counted only as long
            as it is in place. A transform that leaves them as they are says so by False.
    """

    name: ClassVar[str]
    changes_cost: ClassVar[bool] = True

    def bind(self, ledger: Ledger) -> None:
        """Take the ledger of the propagation that is about to apply this.

        Only for a transform that makes the denoiser run more or fewer rows than the pipeline asks for: it says so by
        `ledger.repeats`, and sets that back to 1 in `undo`.
        """

    @abstractmethod
    def apply(self, pipe: Any) -> None:
        """Change the pipeline; leave it as it was if this fails."""

    @abstractmethod
    def undo(self, pipe: Any) -> None:
        """Take back exactly what `apply` did."""


class NoTransform(Transform):
    """Changes nothing."""

    name = "none"
    changes_cost = False

    def apply(self, pipe: Any) -> None:
        """Do nothing."""

    def undo(self, pipe: Any) -> None:
        """Do nothing."""


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

    def apply(self, pipe: Any) -> None:
        """Have the denoiser, and the networks that run beside it, compiled at their first call.

        Raises:
            ConfigError: torch knows no such backend or mode.
        """
        from fdplug.compiled import CompiledPieces, compile_options
        from fdplug.pipeline import find_family

        options = compile_options(self.mode, self.backend)
        family, network = find_family(pipe)
        companions = {companion.component for part in family.parts(network) for companion in part.companions}
        for one in (network, *(getattr(pipe, name, None) for name in sorted(companions))):
            if one is not None:
                self._compiled.append(CompiledPieces(one, self.dynamic, options))
                self._compiled[-1].apply()

    def undo(self, pipe: Any) -> None:
        """Take every graph off."""
        while self._compiled:
            self._compiled.pop().remove()


@hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the built-in transforms."""
    yield from (NoTransform, Compile)
