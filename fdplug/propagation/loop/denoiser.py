"""What happens around the denoiser: a call is answered from what was decoded ahead, or by passes over a window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from fdplug import trees
from fdplug.errors import PropagationError
from fdplug.propagation import messages
from fdplug.propagation.calls.call import Call
from fdplug.propagation.loop.ends import decode_one_by_one, look
from fdplug.propagation.window import EVERY_ROW, Rows, Window

if TYPE_CHECKING:
    from fdplug.propagation.calls.lanes import Lane
    from fdplug.propagation.loop.passes import Passes
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.run import Run
    from fdplug.propagation.stage import Stage


class AroundDenoiser:
    """Stands around the denoiser."""

    def __init__(self, runs: Runs, passes: Passes) -> None:
        self._runs = runs
        self._passes = passes
        self._computed = False  # whether the part was computed for the call that is being answered

    def stage(self, stage: Stage) -> Callable[..., Any]:
        """Return what is to be called around a stage's denoiser."""

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return self._call(stage, original, args, kwargs)

        return around

    def _call(self, stage: Stage, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Answer one call of the denoiser: from what was decoded ahead, or by calling it."""
        runs = self._runs
        if not runs.follows():
            runs.count_outside()
            return original(*args, **kwargs)
        call = Call.of(stage.method.family, stage.network, args, kwargs)
        run = runs.of(call, stage)
        if run is None:
            runs.count_outside()
            return original(*args, **kwargs)
        self._check_gradient(call)
        if not run.plan.one_by_one and run.rows_apart(call):
            run.drop_predictions()
            decode_one_by_one(run, runs.method, runs.ledger, messages.ROWS_APART)
        lane = run.lane(call)
        compute = partial(self._answer, run, lane, original, call)
        self._computed = False
        if run.guided is None:
            answer = compute(call, EVERY_ROW)
        else:
            answer = run.guided.answer(run.step, call, compute, is_new=lane.opened == run.step)
        if self._computed:
            run.plan.observe(run.step, call.sample, answer)
        return answer

    def _check_gradient(self, call: Call) -> None:
        """Refuse a call through which a gradient is wanted."""
        if self._runs.method.policy.replays and torch.is_grad_enabled() and call.wants_gradient:
            self._runs.forget()
            raise PropagationError(messages.gradient_wanted(self._runs.network))

    def _answer(self, run: Run, lane: Lane, network: Callable[..., Any], whole: Call, call: Call, rows: Rows) -> Any:
        """Return the prediction for a whole call, or for some of its rows."""
        lane = lane.share(rows.groups, call)
        ahead = self._ahead(run, lane, call)
        if ahead is not None:
            return ahead
        self._runs.introduce(lane, call, self._runs.network, self._runs.method.part.modules)
        return self._decode(run, lane, network, whole, call, rows)

    def _ahead(self, run: Run, lane: Lane, call: Call) -> Any:
        """Return what was decoded ahead for this step, None where nothing was or the call no longer fits it."""
        prediction = lane.predictions.pop(run.step, None)
        if prediction is None:
            return None
        same = lane.has_residuals(call)
        if same and run.watched.is_as(lane.snapshot):
            return prediction
        run.void("denoiser" if same else "conditioning")
        return None

    def _decode(self, run: Run, lane: Lane, network: Callable[..., Any], whole: Call, call: Call, rows: Rows) -> Any:
        if not run.plan.one_by_one and run.watches_anew():
            look(run, self._runs.method, self._runs.network, self._runs.ledger)
        window = self._window(run, lane, whole, call, rows)
        times = len(window.steps)
        try:
            with run.plan.measuring(whole.sample, times, call.rows):
                output = self._runs.method.decoding.decode(window, call, partial(self._passes.make, run, call, network))
            self._check_inside(run)
        except BaseException:
            self._runs.forget()
            raise
        lane.keep(call, run.step, times > 1)
        lane.snapshot = None if run.plan.one_by_one else run.settle()
        parts = trees.split_rows(output, times, listed=bool(self._runs.method.family.listed))
        lane.predictions = dict(zip(window.steps, parts, strict=True))
        self._computed = window.fresh or run.is_key(whole.sample)
        if self._computed and run.guided is not None:
            run.guided.computed(run.step)
        return lane.predictions.pop(run.step)

    def _window(self, run: Run, lane: Lane, whole: Call, call: Call, rows: Rows) -> Window:
        """Return the steps that a call answers, and whether the part is computed for them."""
        fresh, undecided = not run.fits(lane, call), run.plan.is_undecided(run.step)
        fresh = fresh or run.plan.rows_return(run.step)
        computes = (not undecided and run.is_key(whole.sample)) or fresh
        steps = run.plan.span(run.step, whole.sample, call.rows, rows)
        how: Any = {"undecided": undecided, "example": lane.example, "groups": rows.groups}
        return Window(lane.index, steps, call.rows, computes, fresh, **how)

    def _check_inside(self, run: Run) -> None:
        """Refuse a pipeline that reads attention maps out of the part, once it has shown that it does."""
        keeper = run.inside.keeper() if self._runs.method.policy.replays else None
        if keeper is not None:
            raise PropagationError(messages.maps_stored(keeper, self._runs.method.part.name))
