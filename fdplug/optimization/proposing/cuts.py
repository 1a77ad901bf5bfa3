"""Key steps of the trunk by dynamic programming: cut from one recorded run of a parent, never by trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdplug.errors.wording import one_line
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.workbench import Workbench
from fdplug.tuning.forecast_spans import best_spans, record

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

RESPONSES = 5
"""Runs that measure what the denoiser leaves of an error."""
Curve = list[list[list[float]]]


class Cuts:
    """The best key steps of every number, for parents that are asked for.

    Args:
        bench: runs the pipeline.
        captions: what the recorded runs draw.
    """

    def __init__(self, bench: Workbench, captions: Sequence[Caption]) -> None:
        self._bench, self._captions = bench, captions

    def curve(self, parent: Candidate) -> Curve | None:
        """Return key steps and shares of the forecast for 1, 2, ... key steps; None for a parent without a record.

        Raises:
            TimeUp: there is no time to record one.
        """
        facts = self._bench.records.facts
        name = f"cut {parent.key}"
        if name not in facts:
            self._bench.begin(parent, (1 + RESPONSES) * len(self._captions))
            self._bench.records.note(name, self._recorded(parent))
        return facts[name]["curve"]

    def _recorded(self, parent: Candidate) -> dict[str, Any]:
        with self._bench.sampling(parent) as run:
            try:
                found = best_spans(record(self._bench.pipe, lambda: run(self._captions), RESPONSES))
            except Exception as error:  # a pipeline of which no run can be recorded has no such key steps
                return {"curve": None, "reason": one_line(error)}
        return {"curve": [[list(one.keys), [round(share, 4) for share in one.shares]] for one in found]}


def settings_of(curve: Curve, count: int, part: Any, injector: Any, trust: tuple[float, float]) -> dict[str, Any]:
    """Return the settings of `propagate` with the best `count` key steps of a curve.

    Args:
        curve: key steps and shares by their number.
        count: of key steps.
        part: what is computed at them.
        injector: spec of the injector.
        trust: what the shares of the earlier and of the later half are multiplied by: with few key steps the run goes
            far from the recorded one, and forecasts are to be trusted less.
    """
    keys, shares = curve[count - 1]
    steps, half = [int(key) for key in keys], (len(keys) + 1) // 2
    shares = [round(share * trust[place >= half], 4) for place, share in enumerate(shares)]
    cache = {"damped": {"steps": steps, "shares": shares}} if any(shares) else "reuse"
    return {"policy": {"explicit": {"steps": steps}}, "cache": cache, "part": part, "injector": injector}
