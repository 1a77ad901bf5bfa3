"""Transforms: changes of a pipeline that are not a schedule (token merging, compilation, quantization)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from fdplug.hooks import hookimpl
from fdplug.stacking import Stackable

__all__ = ["NoTransform", "Transform"]


class Transform(Stackable, ABC):
    """Changes a pipeline in place and takes the change back exactly."""

    name: ClassVar[str]

    @abstractmethod
    def apply(self, pipe: Any) -> None:
        """Change the pipeline; leave it as it was if this fails."""

    @abstractmethod
    def undo(self, pipe: Any) -> None:
        """Take back exactly what `apply` did."""


class NoTransform(Transform):
    """Changes nothing."""

    name = "none"

    def apply(self, pipe: Any) -> None:
        """Do nothing."""

    def undo(self, pipe: Any) -> None:
        """Do nothing."""


@hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the built-in transforms."""
    yield NoTransform
