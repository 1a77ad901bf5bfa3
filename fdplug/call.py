"""One call of a denoiser, its arguments by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug import trees

if TYPE_CHECKING:
    from fdplug.denoisers import DenoiserFamily


@dataclass(frozen=True)
class Call:
    """What a denoiser was given."""

    family: DenoiserFamily
    arguments: dict[str, Any]

    @classmethod
    def of(
        cls, family: DenoiserFamily, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Call:
        """Name the arguments of `forward(*args, **kwargs)`."""
        return cls(family, dict(inspect.signature(forward).bind(*args, **kwargs).arguments))

    @property
    def sample(self) -> Tensor:
        """The noisy sample, (B, ...)."""
        return self.arguments[self.family.sample]

    @property
    def timestep(self) -> Any:
        """The timestep as it was given: a number, or a tensor of one or B values."""
        return self.arguments[self.family.timestep]

    @property
    def rows(self) -> int:
        """B."""
        return self.sample.shape[0]

    @property
    def conditioning(self) -> list[Tensor]:
        """The tensors that the computed rest of the denoiser reads, besides sample and time."""
        return trees.leaves([self.arguments.get(name) for name in self.family.conditioning])

    def spanning(self, timesteps: Tensor) -> dict[str, Any]:
        """Return the arguments for a whole span, time-major; `timesteps` (len,) are the scheduler's."""
        family, times = self.family, len(timesteps)
        spread = {family.sample, *family.conditioning, *family.batch_arguments}
        arguments = {
            name: trees.repeat_rows(value, self.rows, times) if name in spread else value
            for name, value in self.arguments.items()
        }
        arguments[family.timestep] = family.timesteps(timesteps, self.timestep, self.rows)
        return arguments

    def example(self) -> dict[str, Any]:
        """Return the arguments for one row, tensors without their values."""
        rows = self.rows

        def outline(tensor: Tensor) -> Tensor:
            shape = (1, *tensor.shape[1:]) if tensor.dim() and tensor.shape[0] == rows else tensor.shape
            return torch.empty(shape, dtype=tensor.dtype, device="meta")

        return trees.map_tensors(outline, self.arguments)
