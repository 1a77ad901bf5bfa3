"""What a denoiser family says: which classes it knows, their parts, and which arguments go along with the batch."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.errors import ConfigError, PropagationError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Part:
    """A named set of the denoiser's modules, computed at key steps and replayed at the others.

    Attributes:
        name: how a user asks for it.
        modules: dotted names inside the denoiser, none inside another.
        sample_free: whether the prediction at a replayed step no longer depends on the sample; only then may a span be
            decoded in one batch.
    """

    name: str
    modules: tuple[str, ...]
    sample_free: bool


class DenoiserFamily(ABC):
    """One class of denoisers.

    Attributes:
        models: dotted names of the classes it knows (subclasses included).
        component: the pipeline's attribute that holds the denoiser.
        sample: the forward argument that holds the noisy sample, batch first.
        timestep: the forward argument that holds the timestep.
        conditioning: batch-first arguments (tensors, or nested) that what is *not* replayed reads.
        batch_arguments: further batch-first arguments, read only by what is replayed or added to its features.
    """

    name: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    component: ClassVar[str] = "unet"
    sample: ClassVar[str] = "sample"
    timestep: ClassVar[str] = "timestep"
    conditioning: ClassVar[tuple[str, ...]] = ()
    batch_arguments: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def parts(self, denoiser: nn.Module) -> Iterable[Part]:
        """Yield the parts of this denoiser; the first one is the default."""

    def matches(self, denoiser: Any) -> bool:
        """Whether the denoiser is an instance of one of `models`."""
        return isinstance(denoiser, tuple(self._classes()))

    def _classes(self) -> Iterable[type]:
        for path in self.models:
            module, _, name = path.rpartition(".")
            yield getattr(importlib.import_module(module), name)

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Return the timestep argument for a whole span, (len(values) * rows,), time-major.

        Args:
            values: the scheduler's timesteps of the span, (len,).
            given: the timestep argument at the first of these steps.
            rows: rows of the batch at one step.
        """
        return values.repeat_interleave(rows)

    def part(self, denoiser: nn.Module, name: str) -> Part:
        """Return the part called `name`.

        Raises:
            ConfigError: the family has no such part.
            PropagationError: the part has no modules on this denoiser, so that nothing would be replayed.
        """
        known = {part.name: part for part in self.parts(denoiser)}
        if name not in known:
            raise ConfigError(f"no part '{name}' in family '{self.name}'; it has {', '.join(known)}")
        if not known[name].modules:
            raise PropagationError(
                f"part '{name}' of {type(denoiser).__name__} holds no module: nothing would be replayed"
            )
        return known[name]
