"""Linear forecasts with a share of their own in every span: what `fdplug tune --part trunk` chooses and tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fdplug.caches import Point, Weighted


class SpanForecast(Weighted):
    """Features forecast from the last two key steps, with a share for each span.

    Args:
        shares: by key step, from 0 (reuse) to 1 (the linear forecast in noise time) and beyond; 0 where none is given.
    """

    name = "span-forecast"

    def __init__(self, shares: Mapping[int, float]) -> None:
        super().__init__()
        self.shares = dict(shares)

    def weigh(self, points: Sequence[Point], step: int) -> Sequence[float]:
        """Return the weights of the last two key steps."""
        last, before = points
        ahead = self.shares.get(last.step, 0.0) * (self.time(step) - last.time) / (last.time - before.time)
        return 1 + ahead, -ahead
