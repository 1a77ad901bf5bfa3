"""Transforms: changes of a pipeline that are not a schedule (token merging, compilation, quantization)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.hooks import hookimpl
from fdplug.space import Searchable
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from fdplug.profiling.ledger import Ledger

__all__ = ["NoTransform", "Transform"]


class Transform(Stackable, Searchable, ABC):
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
        """Leave the pipeline as it is."""

    def undo(self, pipe: Any) -> None:
        """Leave the pipeline as it is."""


@hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the built-in transform that changes nothing; `compile` comes from its own module."""
    yield NoTransform
