"""Linear forecasts with a share of their own in every span: what `fdplug tune --part trunk` chooses and tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fdplug.caches import Features, Reuse
from fdplug.schedule import Schedule


class SpanForecast(Reuse):
    """Features forecast from the last two key steps, with a share for each span.

    Args:
        shares: by key step, from 0 (reuse) to 1 (the linear forecast in noise time) and beyond; 0 where none is given.
    """

    name = "span-forecast"

    def __init__(self, shares: Mapping[int, float]) -> None:
        super().__init__()
        self.shares = dict(shares)
        self._schedule: Schedule | None = None
        self._written: dict[str, int] = {}
        self._earlier: dict[str, tuple[int, Features]] = {}

    def begin(self, schedule: Schedule) -> None:
        """Learn the times of the steps."""
        super().begin(schedule)
        self._schedule = schedule

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._written, self._earlier = {}, {}

    def write(self, name: str, step: int, features: Features) -> None:
        """Keep the features of the last two key steps; those of another shape begin anew."""
        kept = self._kept.get(name, ())
        if self._written.get(name) != step:
            self._earlier.pop(name, None)
            if [one.shape for one in kept] == [one.shape for one in features]:
                self._earlier[name] = (self._written[name], kept)
        self._written[name] = step
        super().write(name, step, features)

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return the features of `steps`, time-major."""
        from torch import cat

        spans = [self._at(name, step) for step in steps]
        return tuple(cat(parts) for parts in zip(*spans, strict=True))

    def _at(self, name: str, step: int) -> Features:
        last, features = self._written[name], self._kept[name]
        share = self.shares.get(last, 0.0)
        if step == last or share == 0 or name not in self._earlier:
            return tuple(feature.clone() for feature in features)
        assert self._schedule is not None
        before, older = self._earlier[name]
        here, there, then = (self._schedule.step(index).time for index in (last, before, step))
        ahead = share * (then - here) / (here - there)
        return tuple(
            one + ahead * (one - other) if one.is_floating_point() else one.clone()
            for one, other in zip(features, older, strict=True)
        )
