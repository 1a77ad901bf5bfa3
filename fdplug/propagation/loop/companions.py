"""What happens around companions of the denoiser, such as a ControlNet: their whole output is computed or replayed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fdplug.profiling.ledger import WHOLE, LedgerEntry
from fdplug.propagation.calls.call import Call

if TYPE_CHECKING:
    from torch import nn

    from fdplug.denoisers import Companion
    from fdplug.propagation.calls.lanes import Lane
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.run import Run

    Answer = Callable[[Run, Lane, Call, Callable[[], Any]], Any]


class AroundCompanions:
    """Stands around the companions of a denoiser."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def companion(self, companion: Companion, network: nn.Module) -> Callable[..., Any]:
        """Return what is to be called around a companion's forward."""
        return self._around(companion, network, self._answer)

    def counted(self, companion: Companion, network: nn.Module) -> Callable[..., Any]:
        """Return what is to be called around the forward of a companion that is not replayed: its cost is counted."""
        return self._around(companion, network, self._count)

    def _around(self, companion: Companion, network: nn.Module, answer: Answer) -> Callable[..., Any]:
        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if not self._runs.follows():
                return original(*args, **kwargs)
            call = Call.of(companion, network, args, kwargs)
            run = self._runs.of(call)
            if run is None:
                return original(*args, **kwargs)
            lane = run.lane(call, by_place=True)
            self._runs.introduce(lane, call, network)
            return answer(run, lane, call, partial(original, *args, **kwargs))

        return around

    def _count(self, run: Run, lane: Lane, call: Call, compute: Callable[[], Any]) -> Any:
        """Write one pass down and make it."""
        self._record(run, lane, call, key=False)
        return compute()

    def _answer(self, run: Run, lane: Lane, call: Call, compute: Callable[[], Any]) -> Any:
        """Return the output kept; compute it at key steps, and where its conditioning is no longer the one kept.

        What the denoiser decoded ahead rests on the output that was kept: a new one makes it void.
        """
        fits = run.fits(lane, call)
        is_key = run.is_key(call.sample) or not fits
        if is_key or not lane.is_given(call):
            run.drop_predictions()
            try:
                lane.output = compute()
            except BaseException:
                self._runs.forget()
                raise
            lane.keep(call, run.step)
            self._record(run, lane, call, is_key)
        return lane.output

    def _record(self, run: Run, lane: Lane, call: Call, key: bool) -> None:
        entry = LedgerEntry((run.step,), call.role.component, WHOLE, call.rows, key, lane.example)
        self._runs.ledger.record(entry)
