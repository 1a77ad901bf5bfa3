"""Feature caches: what is kept of a part's features at a key step, and what is handed out at the others.

Features are tuples of tensors whose first dimension is the batch: (B, ...) when written, (len(steps) * B, ...) when
read, *time-major*: all rows of the first step, then all rows of the second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.hooks import hookimpl
from fdplug.schedule import Schedule
from fdplug.space import Searchable, Space
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor

Features = tuple["Tensor", ...]

__all__ = ["Drop", "FeatureCache", "Features", "Reuse"]


class FeatureCache(Stackable, Searchable, ABC):
    """Keeps the features of key steps, one entry per module of the part.

    Attributes:
        exact: whether features come back bit for bit at their key step; a cache that keeps them coded says False.
    """

    name: ClassVar[str]
    exact: bool = True

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the options that mean the same in a run of `wanted` steps; None: there are none. Contract 1.1.

        Here they are the same: most caches do not know the number of steps.

        Args:
            options: for a run of `steps` steps.
            steps: of that run.
            wanted: of the other one.
        """
        return options

    def begin(self, schedule: Schedule) -> None:
        """Forget everything: a run with this schedule begins. Override to learn the timesteps."""
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything and free the memory."""

    @abstractmethod
    def write(self, name: str, step: int, features: Features) -> None:
        """Keep the features that module `name` computed at key step `step`; do not change them."""

    @abstractmethod
    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return features for `steps`, time-major, (len(steps) * B, ...).

        A step that was written last is given back as it was, if the cache is `exact`. The tensors must be fresh memory,
        or behave like it as those of `fdplug.repeated` do: denoisers write into them (FreeU and T2I-Adapters do).
        """


class Reuse(FeatureCache):
    """The features of the last key step, as they are (the paper's encoder propagation, section 3.2)."""

    name = "reuse"

    def __init__(self) -> None:
        self._kept: dict[str, Features] = {}

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try it as it is; a subclass says for itself whether it is worth trying."""
        return {} if cls is Reuse else None

    def reset(self) -> None:
        self._kept = {}

    def write(self, name: str, step: int, features: Features) -> None:
        """Keep references; nothing is copied."""
        self._kept[name] = features

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return copies, one block of rows per step."""
        from fdplug.repeated import repeat  # plugins are listed without loading torch

        return tuple(repeat(feature, len(steps)) for feature in self._kept[name])


class Drop(Reuse):
    """Zeros instead of features at every step that is not a key step: the dropping ablation of the paper's Table 14."""

    name = "drop"

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, int] = {}

    def write(self, name: str, step: int, features: Features) -> None:
        """Keep references, and the step."""
        super().write(name, step, features)
        self._written[name] = step

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return the features at their key step, zeros elsewhere."""
        features = super().read(name, steps)
        for position, step in enumerate(steps):
            if step != self._written[name]:
                for feature in features:
                    feature.view(len(steps), -1)[position].zero_()
        return features


@hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the built-in caches."""
    yield from (Reuse, Drop)
