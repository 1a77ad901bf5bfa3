"""Feature caches: what is kept of a part's features at a key step, and what is handed out at the others.

Features are tuples of tensors whose first dimension is the batch: (B, ...) when written, (len(steps) * B, ...) when
read, *time-major*: all rows of the first step, then all rows of the second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.hooks import hookimpl
from fdplug.schedule import Schedule
from fdplug.space import Searchable, Space
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor

Features = tuple["Tensor", ...]

__all__ = ["Drop", "FeatureCache", "Features", "Point", "Reuse", "Weighted"]


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

    def forget(self, name: str) -> None:
        """Forget the features of one module: what is written next was made of another conditioning. Contract 1.1.

        Here nothing is done: most caches keep what was written last. One that makes features of several key steps must
        not make them of both.
        """

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

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)

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


@dataclass(frozen=True)
class Point:
    """The features of one key step, and its time on the cache's clock. Contract 1.1."""

    step: int
    time: float
    features: Features


class Weighted(FeatureCache):
    """Features as a weighted sum of those of the last key steps: a forecast, whatever its basis. Contract 1.1.

    The weights are plain numbers, and a subclass says them. A key step of another shape begins anew; one at the same
    time takes the other's place.

    Attributes:
        points: how many key steps are kept, the last one included.
    """

    points: int = 2

    def __init__(self) -> None:
        self._schedule: Schedule | None = None
        self._kept: dict[str, list[Point]] = {}

    @abstractmethod
    def weigh(self, points: Sequence[Point], step: int) -> Sequence[float]:
        """Return the weight of every point, the last key step first, in the features of a step that is none of them."""

    def time(self, step: int) -> float:
        """Return a step's time: here the noise time, from 1 to 0."""
        assert self._schedule is not None
        return self._schedule.step(step).time

    def begin(self, schedule: Schedule) -> None:
        """Learn the times of the steps."""
        super().begin(schedule)
        self._schedule = schedule

    def reset(self) -> None:
        self._kept = {}

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)

    def write(self, name: str, step: int, features: Features) -> None:
        """Keep references of the last key steps; nothing is copied."""
        point = Point(step, self.time(step), features)
        earlier = [one for one in self._kept.get(name, []) if one.time != point.time and _alike(one, point)]
        self._kept[name] = [point, *earlier[: self.points - 1]]

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return the sums, one block of rows per step."""
        from torch import cat

        spans = [self._at(self._kept[name], step) for step in steps]
        return tuple(cat(parts) for parts in zip(*spans, strict=True))

    def _at(self, points: list[Point], step: int) -> Features:
        own = points[0].step == step or len(points) == 1
        weights = [1.0, *[0.0] * (len(points) - 1)] if own else self.weigh(points, step)
        return tuple(_sum(values, weights) for values in zip(*(point.features for point in points), strict=True))


def _alike(one: Point, other: Point) -> bool:
    shapes = [[feature.shape for feature in point.features] for point in (one, other)]
    return shapes[0] == shapes[1]


def _sum(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the weighted sum; what is no floating-point number is that of the last key step."""
    if (weights[0] == 1 and not any(weights[1:])) or not values[0].is_floating_point():
        return values[0].clone()
    result = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        if weight:
            result = result + value * weight
    return result


@hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the built-in caches."""
    yield from (Reuse, Drop)
