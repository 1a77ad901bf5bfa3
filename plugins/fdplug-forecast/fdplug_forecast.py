"""Forecast features for fdplug: extrapolated in time from the last key steps, instead of reused as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fdplug
from fdplug.caches import FeatureCache, Features
from fdplug.checks import number, whole
from fdplug.errors import ConfigError
from fdplug.policies import Schedule

if TYPE_CHECKING:
    from torch import Tensor

FDPLUG_CONTRACT = "1.0"


@dataclass(frozen=True)
class Point:
    """The features of one key step, and its noise time."""

    step: int
    time: float
    features: Features


class Forecast(FeatureCache):
    """Features extrapolated from the last two or three key steps, linearly or by a Taylor polynomial (TaylorSeer).

    With key steps at times t_0 (the last), t_1 and t_2, and h = t - t_0; after TaylorSeer (arXiv 2503.06923), for key
    steps at any distance:

        d_1 = (F_0 - F_1) / (t_0 - t_1),  d_2 = (d_1 - (F_1 - F_2) / (t_1 - t_2)) / (t_0 - t_1)
        F(t) = F_0 + d_1 h + d_2 h^2 / 2

    Until there are enough key steps the order is lower: the first span reuses its features.

    Args:
        order: 1, linear from two key steps, or 2, Taylor from three.
        reach: how far to go, in distances of the last two key steps; steps farther away get what is there.
    """

    name = "forecast"

    def __init__(self, order: int = 1, reach: float = 1.0) -> None:
        self.order = whole("order", order, 1)
        if self.order > 2:
            raise ConfigError(f"order must be 1 (linear) or 2 (Taylor), got {order}")
        self.reach = number("reach", reach, 0)
        self._schedule: Schedule | None = None
        self._points: dict[str, list[Point]] = {}

    def begin(self, schedule: Schedule) -> None:
        """Learn the times of the steps."""
        super().begin(schedule)
        self._schedule = schedule

    def reset(self) -> None:
        """Forget everything."""
        self._points = {}

    def write(self, name: str, step: int, features: Features) -> None:
        """Keep the last key steps. One of another shape begins anew; one of the same time takes the other's place."""
        assert self._schedule is not None
        point = Point(step, self._schedule.step(step).time, features)
        earlier = [one for one in self._points.get(name, []) if one.time != point.time and _alike(one, point)]
        self._points[name] = [point, *earlier[: self.order]]

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return the features of `steps`, time-major."""
        import torch

        points = self._points[name]
        spans = [self._at(points, step) for step in steps]
        return tuple(torch.cat(parts) for parts in zip(*spans, strict=True))

    def _at(self, points: list[Point], step: int) -> tuple[Tensor, ...]:
        assert self._schedule is not None
        last = points[0]
        if len(points) == 1 or step == last.step:
            return tuple(feature.clone() for feature in last.features)
        limit = self.reach * abs(last.time - points[1].time)
        ahead = max(-limit, min(limit, self._schedule.step(step).time - last.time))
        return tuple(_extrapolate([one.features[index] for one in points], points, ahead) for index in _range(last))


def _range(point: Point) -> range:
    return range(len(point.features))


def _alike(one: Point, other: Point) -> bool:
    shapes = [[feature.shape for feature in point.features] for point in (one, other)]
    return shapes[0] == shapes[1]


def _extrapolate(values: list[Tensor], points: list[Point], ahead: float) -> Tensor:
    """Evaluate the polynomial through the last two or three points; what is no floating-point number is kept."""
    if not values[0].is_floating_point():
        return values[0].clone()
    slopes = [
        (newer - older) / (here.time - before.time)
        for newer, older, here, before in zip(values, values[1:], points, points[1:], strict=False)
    ]
    result = values[0] + slopes[0] * ahead
    if len(slopes) == 1:
        return result
    curvature = (slopes[0] - slopes[1]) / (points[0].time - points[1].time)
    return result + curvature * (ahead**2 / 2)


@fdplug.hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the cache."""
    yield Forecast
