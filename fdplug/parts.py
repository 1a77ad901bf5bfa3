"""Parts from plugins: sets of modules that are computed at key steps and replayed at the others.

A denoiser family brings parts of its own, such as `encoder`; a part rule adds one for every family that it can handle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fdplug.denoisers import DenoiserFamily, Part
from fdplug.space import Searchable
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Part", "PartRule"]


class PartRule(Stackable, Searchable, ABC):
    """Names a part of any denoiser that it can handle; a user asks for it as for a family's own."""

    name: ClassVar[str]

    @abstractmethod
    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return the part of this denoiser; raise `PropagationError`, saying why, where there is none."""
