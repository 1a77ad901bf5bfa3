"""Record, replay, decode a span: what happens inside the denoiser while a pipeline runs.

The patched denoiser calls its own, unmodified `forward`. The part's modules are patched too: at a key step they compute
and write their features to the cache, at the others they answer from it. A span may be decoded in one call: the batch
is repeated time-major ([step 0: B rows, step 1: B rows, ...]), the part runs on the first B rows and the cache hands
out features for all of them. One step at a time is the same with a window of one step.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from fdplug import trees
from fdplug.denoisers.base import is_compiled
from fdplug.errors import NoEffectWarning, PropagationError, warn
from fdplug.injectors import NoNoise
from fdplug.profiling.ledger import WHOLE, Ledger, LedgerEntry
from fdplug.propagation import messages
from fdplug.propagation.calls.call import Call, first_step, positions
from fdplug.propagation.calls.caller import ThreadGuard, calling_pipeline
from fdplug.propagation.calls.lanes import Lane
from fdplug.propagation.decoding import AT_ONCE, PartComputed
from fdplug.propagation.guided import conditional_rows
from fdplug.propagation.method import Method
from fdplug.propagation.replay import NotKept, Replay
from fdplug.propagation.residual import added
from fdplug.propagation.run import Run
from fdplug.propagation.window import EVERY_ROW, Rows, Window

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.denoisers import Companion

log = logging.getLogger(__name__)

IDLE = 2  # steps without a call of the denoiser, after which that is said


class Propagator:
    """Answers for the denoiser, its part, its companions and its scheduler during a run."""

    def __init__(
        self,
        method: Method,
        network: nn.Module,
        follow: Callable[[], Any],
        count: Callable[[], int | None],
        serves: Callable[[Any], bool],
    ) -> None:
        """Know what to work on.

        Args:
            method: the plain objects to work with.
            network: the denoiser.
            follow: returns the pipeline's scheduler, seeing to it that it is patched.
            count: returns how many steps the pipeline is going to take, None where it does not say.
            serves: whether a pipeline that calls the denoiser works with the scheduler that is followed.
        """
        self.method = method
        self.ledger = Ledger(self.paused)
        self._network = network
        self._follow = follow
        self._count = count
        self._replay = Replay(method.cache, method.part)
        self._scheduler: Any = None  # the one that has set its timesteps, as long as a run may begin or go on
        self._run: Run | None = None
        self._replayed = self._computed = False
        self._window: Window | None = None
        self._awaited: set[str] = set()
        self._paused = False
        self._guard = ThreadGuard()
        self._serves = serves
        self._set_before = False  # whether the timesteps were set before propagation was switched on
        self._idle = 0
        self._outside = 0  # calls since the last run that belong to none
        self._told: set[str] = set()

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self._run is not None and not self._run.over

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the denoiser be what it is without us."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    # --- the scheduler -----------------------------------------------------------------------------------------------

    def begin(self, scheduler: Any, set_before: bool = False) -> None:
        """Let a new run begin with the next call: nothing of the last one is left.

        Args:
            scheduler: the scheduler, whose timesteps are set.
            set_before: they were set before propagation was switched on, perhaps for a run that is over.
        """
        self.forget()
        self._scheduler = scheduler
        self._set_before = set_before
        self._idle = 0

    def take(self, method: Method, network: nn.Module) -> None:
        """Work on another denoiser from now on."""
        self.forget()
        self.method, self._network = method, network
        self._replay = Replay(method.cache, method.part)

    def go_on(self, scheduler: Any) -> None:
        """Go on with a copy of the run's scheduler."""
        self._scheduler = scheduler
        if self._run is not None:
            self._run.scheduler = scheduler

    def forget(self) -> None:
        """Drop the run and free what it kept; the ledger stays."""
        self._scheduler = None
        self._run = None
        self._window = None
        self._replay.clear()

    def release(self) -> None:
        """Drop the run, and let any thread begin the next."""
        self.forget()
        self._guard.release()

    def around_set_timesteps(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Begin a new run after the scheduler has set its timesteps."""
        self._guard.take()
        result = original(*args, **kwargs)
        self.begin(self._follow())
        return result

    def around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Inject noise into the sample, let the scheduler take its step, and count it."""
        run = self._run
        if self._paused or run is None or run.over:
            self._count_idle()
            return original(*args, **kwargs)
        self._guard.check()
        if kwargs.get("eta"):
            self.method.check_solver(run.scheduler, kwargs["eta"])
        if not isinstance(self.method.injector, NoNoise):
            args, kwargs = self._injected(run, original, args, kwargs)
        result = original(*args, **kwargs)
        run.advance()
        if run.over:
            self._finish(run)
        return result

    def _count_idle(self) -> None:
        """Say that a run goes by in which the denoiser is not called, as after it was exchanged."""
        if self._paused or self._scheduler is None or self._run is not None or self._set_before:
            return
        self._idle += 1
        caller = calling_pipeline()
        if self._idle == IDLE and (caller is None or self._serves(caller)):
            self._tell(messages.never_called(self._network))

    def _tell(self, message: str) -> None:
        """Warn once for every propagation."""
        if message not in self._told:
            self._told.add(message)
            warn(message, NoEffectWarning)

    def _injected(self, run: Run, original: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
        bound = inspect.signature(original).bind(*args, **kwargs)
        sample = bound.arguments["sample"]
        step = run.schedule.step(run.step)
        bound.arguments["sample"] = self.method.injector.inject(sample, run.prior(sample), step)
        return bound.args, bound.kwargs

    def _finish(self, run: Run) -> None:
        self._replay.clear()
        self.method.decoding.finish()
        if run.guided is not None:
            run.guided.conclude()
            return
        steps = len(self.ledger.steps)
        if self.method.policy.replays and len(self.ledger.key_steps) == steps and not self._replayed:
            warn(messages.nothing_changed(self.method.policy.name, run.wanted, steps), NoEffectWarning)

    # --- the denoiser ------------------------------------------------------------------------------------------------

    def around_denoiser(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Answer one call of the denoiser: from what was decoded ahead, or by calling it."""
        if not self._follows():
            self._outside += not self._paused
            return original(*args, **kwargs)
        call = Call.of(self.method.family, self._network, args, kwargs)
        run = self._run_of(call)
        if run is None:
            self._outside += 1
            return original(*args, **kwargs)
        self._check_gradient(call)
        compute = partial(self._answer, run, run.lane(call), original, call)
        self._computed = False
        answer = compute(call, EVERY_ROW) if run.guided is None else run.guided.answer(run.step, call, compute)
        if self._computed:
            run.plan.observe(run.step, call.sample, answer)
        return answer

    def _answer(self, run: Run, lane: Lane, network: Callable[..., Any], whole: Call, call: Call, rows: Rows) -> Any:
        """Return the prediction for a whole call, or for some of its rows."""
        lane = lane.share(rows.groups, call)
        self._introduce(lane, call, self._network, self.method.part.modules)
        ahead = self._ahead(run, lane, call)
        return self._decode(run, lane, network, whole, call, rows) if ahead is None else ahead

    def _follows(self) -> bool:
        """Whether a run may begin or go on."""
        if self._paused:
            return False
        caller = calling_pipeline()
        if caller is not None and not self._serves(caller):
            self._tell(messages.foreign_pipeline(caller, self._network))
            return False
        if self._scheduler is not None and (self._run is None or not self._run.over):
            self._guard.check()
        scheduler = self._follow()
        if self._scheduler is not None and self._scheduler is not scheduler:
            self.begin(scheduler)
        if self._scheduler is None and caller is not None:
            self._tell(messages.no_timesteps(caller))
        return self._scheduler is not None

    def _run_of(self, call: Call) -> Run | None:
        """Return the run that a call belongs to, which its first call starts; None for one of somebody else's."""
        run = self._run
        if run is None:
            if self._set_before and not call.is_among(self._scheduler.timesteps):
                return None
            self._run = self._start(call)
            return self._run
        if run.follow(call):
            if run.unstepped and not isinstance(self.method.injector, NoNoise):
                self._tell(messages.NOT_INJECTED)
            return run
        if not run.over:
            warn(messages.foreign_call(call.role.component, call.timestep, run.schedule.timesteps[run.step]))
        return None

    def _start(self, call: Call) -> Run:
        self.method.check_solver(self._scheduler)
        self.method.warn_of_order(self._scheduler)
        run = Run(self._scheduler, self.method, call, self._count(), self._network)
        self._replayed = False
        self._replay.writes = is_compiled(self._network)
        self.method.cache.begin(run.schedule)
        self.ledger.reset(run.schedule.num_steps)
        self.ledger.uncounted = messages.uncounted(call.role.component, self._outside, calling_pipeline())
        self._outside = 0
        if not run.plan.one_by_one:
            coupled = run.watched.couples_rows()
            mixing = f"the rows of a batch see each other, or may do so in {coupled}" if coupled else ""
            why = mixing or self.method.family.one_by_one(self._network)
            if why:
                self._decode_one_by_one(run, why)
        if self.method.family.listed and self.method.decoding is not AT_ONCE:
            raise PropagationError(messages.rows_listed(self._network, self.method.decoding.name))
        self.method.decoding.begin(run.timesteps, call, self.method.described(), self._network, self.ledger)
        return run

    def _decode_one_by_one(self, run: Run, why: str) -> None:
        run.plan.one_by_one = True
        if self.method.insists:
            raise PropagationError(messages.one_by_one(why))
        self.ledger.one_by_one = why
        log.info("decoded one step at a time: %s", self.ledger.one_by_one)

    def _introduce(self, lane: Lane, call: Call, network: nn.Module, modules: tuple[str, ...] = ()) -> None:
        """Have the ledger keep an example of the calls of a lane."""
        if not lane.example:
            rows = call.rows if self.ledger.one_by_one or call.role.counted else 1
            lane.example = self.ledger.introduce(
                call.role.component, network, lambda: call.example(rows), modules, rows
            )

    def _check_gradient(self, call: Call) -> None:
        """Refuse a call through which a gradient is wanted."""
        if self.method.policy.replays and torch.is_grad_enabled() and call.wants_gradient:
            self.forget()
            raise PropagationError(messages.gradient_wanted(self._network))

    def _ahead(self, run: Run, lane: Lane, call: Call) -> Any:
        """Return what was decoded ahead for this step, None where nothing was or the call no longer fits it."""
        prediction = lane.predictions.pop(run.step, None)
        if prediction is None:
            return None
        same = lane.has_residuals(call)
        if same and run.watched.stamp() == lane.stamp:
            return prediction
        run.void("denoiser" if same else "conditioning")
        return None

    def _decode(self, run: Run, lane: Lane, network: Callable[..., Any], whole: Call, call: Call, rows: Rows) -> Any:
        fresh, undecided = not run.fits(lane, call), run.plan.is_undecided(run.step)
        fresh = fresh or run.plan.rows_return(run.step)
        computes = (not undecided and run.is_key(whole.sample)) or fresh
        steps = run.plan.span(run.step, whole.sample, call.rows, rows)
        how: Any = {"undecided": undecided, "example": lane.example, "groups": rows.groups}
        window = Window(lane.index, steps, call.rows, computes, fresh, **how)
        times = len(window.steps)
        denoise = partial(self._denoise, call, run.timesteps, network)
        try:
            with run.plan.measuring(whole.sample, times, call.rows):
                output = self.method.decoding.decode(window, call, denoise)
            self._check_inside(run)
        except BaseException:
            self.forget()
            raise
        lane.keep(call, run.step, times > 1)
        lane.stamp = run.watched.stamp() if times > 1 else ()
        parts = trees.split_rows(output, times, listed=bool(self.method.family.listed))
        lane.predictions = dict(zip(window.steps, parts, strict=True))
        self._computed = fresh or run.is_key(whole.sample)
        if self._computed and run.guided is not None:
            run.guided.computed(run.step)
        return lane.predictions.pop(run.step)

    def _check_inside(self, run: Run) -> None:
        """Refuse a pipeline that reads attention maps out of the part, once it has shown that it does."""
        keeper = run.inside.keeper() if self.method.policy.replays else None
        if keeper is not None:
            raise PropagationError(messages.maps_stored(keeper, self.method.part.name))

    def _denoise(self, call: Call, timesteps: Tensor, network: Callable[..., Any], window: Window) -> Any:
        """Call the denoiser once for a window; return None where that was for the part alone."""
        self._window, self._awaited = window, set(self.method.part.modules)
        self._replay.begin()
        try:
            output = self._pass(call, timesteps, network, window)
            window = self._window
        except PartComputed:
            self._replay.end(window)
            return None
        except NotKept:
            if window.portion is not None:
                raise PropagationError(messages.MODULES_SKIPPED) from None
            return self._denoise(call, timesteps, network, window.afresh())
        finally:
            self._window = None
        if window.undecided:
            raise PropagationError(
                f"the denoiser did not run {self.method.part.probe}, by which policy '{self.method.policy.name}' "
                "decides; take another policy or part"
            )
        self._record(WHOLE, window, window.size)
        if self._replay.end(window) and window.portion is None:
            return self._denoise(call, timesteps, network, window.afresh())
        return output

    def _pass(self, call: Call, timesteps: Tensor, network: Callable[..., Any], window: Window) -> Any:
        if len(window.touched) == 1 and window.portion is None and not window.part_only:
            return call.make(network)
        given, named = call.portion(timesteps, window)
        return network(*given, **named)

    def _record(self, module: str, window: Window, rows: int) -> None:
        network = self.method.family.component
        self.ledger.record(LedgerEntry(window.steps, network, module, rows, window.computes, window.example))

    # --- the part ----------------------------------------------------------------------------------------------------

    def around_module(self, name: str) -> Callable[..., Any]:
        """Return what is to be called around the forward of module `name` of the part."""
        first = self.method.part.modules[0]
        places, unbatched = positions(self._network.get_submodule(name)), self.method.family.unbatched

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            window, run = self._window, self._run
            if window is None or run is None:
                return original(*args, **kwargs)
            self._replay.ask(name)
            if name == first:
                self._replay.see(args, kwargs)
            if not run.plan.computes(name, window):
                self._replayed |= window.portion is None
                return self._replay.answer(name, window)
            args, kwargs = first_step(window, args, kwargs, places, unbatched)
            self._replay.read(args, kwargs)
            output = original(*args, **kwargs)
            self._record(name, window, window.rows)
            if self.method.policy.replays or window.part_only:
                output = self._replay.keep(name, window, output)
            self._awaited.discard(name)
            if window.part_only and not self._awaited:
                raise PartComputed
            return output

        return around

    def around_probe(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Let the part's probe compute, and the policy decide by what it adds to its input."""
        output = original(*args, **kwargs)
        window, run = self._window, self._run
        if window is not None and run is not None and window.undecided:
            is_key = run.is_key(conditional_rows(added(args, kwargs, output), window.groups))
            self._window = replace(window, computes=window.fresh or is_key, undecided=False)
        return output

    # --- the companions ----------------------------------------------------------------------------------------------

    def around_companion(self, companion: Companion, network: nn.Module) -> Callable[..., Any]:
        """Return what is to be called around a companion's forward: its whole output is computed or replayed."""

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if not self._follows():
                return original(*args, **kwargs)
            call = Call.of(companion, network, args, kwargs)
            run = self._run_of(call)
            if run is None:
                return original(*args, **kwargs)
            lane = run.lane(call, by_place=True)
            self._introduce(lane, call, network)
            return self._accompany(run, lane, call, partial(original, *args, **kwargs))

        return around

    def _accompany(self, run: Run, lane: Lane, call: Call, compute: Callable[[], Any]) -> Any:
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
                self.forget()
                raise
            lane.keep(call, run.step)
            self.ledger.record(LedgerEntry((run.step,), call.role.component, WHOLE, call.rows, is_key, lane.example))
        return lane.output
