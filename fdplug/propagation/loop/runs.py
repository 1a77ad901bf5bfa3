"""Which run goes on, and whether a call belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fdplug.errors import NoEffectWarning, warn
from fdplug.injectors import NoNoise
from fdplug.profiling.ledger import WHOLE, Ledger, LedgerEntry
from fdplug.propagation import messages
from fdplug.propagation.calls.caller import ThreadGuard, calling_frame, calling_pipeline, entered_by
from fdplug.propagation.loop.ends import open_page, start
from fdplug.propagation.run import Run

if TYPE_CHECKING:
    from torch import nn

    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.calls.lanes import Lane
    from fdplug.propagation.method import Method
    from fdplug.propagation.replay import Replay
    from fdplug.propagation.stage import Stage
    from fdplug.schedule import Schedule

IDLE = 2  # steps without a call of the denoiser, after which that is said


class Runs:
    """The runs of one propagated pipeline, one after another.

    Attributes:
        stages: the pipeline's denoisers, in the order in which a run goes through them.
        stage: the one that the run is at.
        ledger: what ran in the last run.
        current: the run that goes on, or that was the last to end; None before the first call of the denoiser.
        is_paused: whether the denoiser is what it is without us.
        is_released: whether propagation was switched off.
        guard: lets one thread at a time have a run.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        follow: Callable[[], Any],
        count: Callable[[], int | None],
        serves: Callable[[Any], bool],
        boundary: Callable[[Schedule], int | None],
    ) -> None:
        """Know what to work on.

        Args:
            stages: the pipeline's denoisers, in the order in which a run goes through them.
            follow: returns the pipeline's scheduler, seeing to it that it is patched.
            count: returns how many steps the pipeline is going to take, None where it does not say.
            serves: whether a pipeline that calls the denoiser works with the scheduler that is followed.
            boundary: returns the first step of the second stage, None where the run does not go over to it.
        """
        self.stages, self.stage = stages, stages[0]
        self.ledger = Ledger(self.paused)
        self.current: Run | None = None
        self.is_paused = self.is_released = False
        self.guard = ThreadGuard()
        self._follow, self._count, self._serves, self._boundary = follow, count, serves, boundary
        self._scheduler: Any = None  # the one that has set its timesteps, as long as a run may begin or go on
        self._set_before = False  # whether the timesteps were set before propagation was switched on
        self._is_cut = False  # whether the denoiser was exchanged in the middle of a run
        self._idle = 0
        self._outside = 0  # calls since the last run that belong to none
        self._frame = 0  # the call of a pipeline in which the run began
        self._entry: tuple[Any, str] = (None, "")  # the pipeline whose run goes on or was the last, and its method
        self._prepared: dict[str, int] = {}  # calls in runs of its other methods, since it was called itself
        self._told: set[str] = set()

    @property
    def method(self) -> Method:
        """The plain objects to work with."""
        return self.stage.method

    @property
    def network(self) -> nn.Module:
        """The denoiser."""
        return self.stage.network

    @property
    def replay(self) -> Replay:
        """What the part's modules answer."""
        return self.stage.replay

    @property
    def injects(self) -> bool:
        """Whether noise is injected at any step of a run."""
        return not all(isinstance(stage.method.injector, NoNoise) for stage in self.stages)

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self.current is not None and not self.current.over

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the denoiser be what it is without us."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before

    # --- from one to the next ----------------------------------------------------------------------------------------

    def begin(self, scheduler: Any, set_before: bool = False) -> None:
        """Let a new run begin with the next call: nothing of the last one is left.

        Args:
            scheduler: the scheduler, whose timesteps are set.
            set_before: they were set before propagation was switched on, perhaps for a run that is over.
        """
        self._leave()
        self.forget()
        self._scheduler = scheduler
        self._set_before = set_before
        self._is_cut = False
        self._idle = 0

    def begin_anew(self) -> None:
        """Let a new run begin with the next call, on the pipeline's scheduler, which has set its timesteps."""
        self._leave()
        self.forget()
        self.begin(self._follow())

    def take(self, stages: Sequence[Stage]) -> None:
        """Work on other denoisers from now on; what is left of a run that goes on is computed as it is."""
        self._is_cut = self.running
        self.forget()
        self.stages, self.stage = stages, stages[0]

    def exchange(self, component: str, network: nn.Module | None) -> None:
        """Learn that another companion is in the pipeline, which has answered once in a run that goes on."""
        run = self.current
        if run is None:
            return
        if not run.over and network is not None:
            self._count_unseen(run, component, network)
        run.lose(component)

    def _count_unseen(self, run: Run, component: str, network: nn.Module) -> None:
        """Write down the pass of a companion at this step that was made before anything stood around it.

        It was given what the one before was given at every step; where there was none, that is not known.
        """
        lanes = run.without_call(component)
        for lane in lanes:
            known = self.ledger.examples[lane.example]
            name = self.ledger.introduce(component, network, partial(dict, known.arguments), rows=known.rows)
            self.ledger.record(LedgerEntry((run.step,), component, WHOLE, lane.rows, key=False, example=name))
        if not lanes:
            self.ledger.uncounted += (f"the first call of the {component}, which came in the middle of the run",)

    def go_on(self, scheduler: Any) -> None:
        """Go on with a copy of the run's scheduler."""
        self._scheduler = scheduler
        if self.current is not None:
            self.current.scheduler = scheduler

    def forget(self) -> None:
        """Drop the run and free what it kept; the ledger stays."""
        self._scheduler = None
        self.current = None
        for stage in self.stages:
            stage.clear()

    def _leave(self) -> None:
        """Say that a run, which is left before its end, was in vain: it went from step to step of its own choice."""
        run = self.current
        if run is not None and not run.over and self.method.policy.replays and run.jumps > 1 and not run.replayed:
            self._tell(messages.jumping(self.ledger.key_steps))

    def release(self) -> None:
        """Drop the run, for good; calls by what was compiled while propagation was on are passed over from now on."""
        self.is_released = True
        self._leave()
        self.forget()
        self._entry, self._prepared = (None, ""), {}
        self.guard.release()

    # --- one call of the denoiser or of a companion ------------------------------------------------------------------

    def follows(self) -> bool:
        """Whether a run may begin or go on."""
        if self.is_paused or self.is_released:
            return False
        caller = calling_pipeline()
        if caller is not None and not self._serves(caller):
            self._tell(messages.foreign_pipeline(caller, self.network))
            return False
        if self._scheduler is not None and (self.current is None or not self.current.over):
            self.guard.check()
        scheduler = self._follow()
        if self._scheduler is not None and self._scheduler is not scheduler:
            self.begin(scheduler)
        if self._scheduler is None and caller is not None and not self._is_cut:
            self._tell(messages.no_timesteps(caller))
        return self._scheduler is not None

    def of(self, call: Call, stage: Stage | None = None) -> Run | None:
        """Return the run that a call belongs to, which its first call starts; None for one of somebody else's.

        Args:
            call: the call.
            stage: whose denoiser is called; None for a companion.
        """
        run = self.current
        if run is None:
            if self._set_before and not call.is_among(self._scheduler.timesteps):
                return None
            self.stage = stage or self.stages[0]
            self.current = self._start(call)
            return self.current
        if run.follow(call):
            if stage is not None and stage is not self.stage:
                self._hand_over(run, stage, call)
            if run.unstepped and not isinstance(self.method.injector, NoNoise):
                self._tell(messages.NOT_INJECTED)
            return run
        if not run.over:
            warn(messages.foreign_call(call.role.component, call.timestep, run.schedule.timesteps[run.step]))
        elif calling_frame() not in (0, self._frame):
            self._tell(messages.run_over(calling_pipeline()))
        return None

    def _start(self, call: Call) -> Run:
        for stage in self.stages:
            stage.method.check_solver(self._scheduler)
        self.method.warn_of_order(self._scheduler)
        run = Run(self._scheduler, self.stages, self.stage, call, self._count(), self._boundary)
        uncounted = messages.uncounted(call.role.component, self._outside, self._enter(), calling_pipeline())
        self._outside, self._frame = 0, calling_frame()
        open_page(run, self.ledger, uncounted)
        start(run, call, self.method, self.network, self.ledger)
        return run

    def _hand_over(self, run: Run, stage: Stage, call: Call) -> None:
        """Go over to another denoiser in the middle of a run: nothing that was kept for the one before is of use."""
        self.method.decoding.finish()
        self.replay.clear()
        self.stage = stage
        run.hand_over(stage)
        start(run, call, self.method, self.network, self.ledger)

    def _enter(self) -> dict[str, int]:
        """Return how many calls other methods of the pipeline made in runs of their own, by method, for this image."""
        pipe, method = self._entry
        self._entry = entered_by()
        if pipe is None or pipe is not self._entry[0]:
            self._prepared = {}
        elif method != "__call__":
            calls = self.ledger.passes(WHOLE, self.method.family.component)
            self._prepared[method] = self._prepared.get(method, 0) + calls
        else:
            self._prepared = {}
        return self._prepared

    def introduce(self, lane: Lane, call: Call, network: nn.Module, modules: tuple[str, ...] = ()) -> None:
        """Have the ledger keep an example of the calls of a lane; another one for what the network has become since."""
        run = self.current
        makeup, inside = (None, None) if run is None else run.makeup(network)
        if not lane.example or makeup is not lane.makeup:
            whole = call.role.counted or (run is not None and run.couples_rows)
            rows = call.rows if whole else 1
            lane.makeup = makeup
            lane.example = self.ledger.introduce(
                call.role.component, network, lambda: call.example(rows), modules, rows, inside
            )

    # --- calls that belong to no run ---------------------------------------------------------------------------------

    def count_outside(self) -> None:
        """Learn of a call of the denoiser that belongs to no run."""
        self._outside += not self.is_paused

    def count_idle(self) -> None:
        """Say that a run goes by in which the denoiser is not called, as after it was exchanged."""
        if self.is_paused or self._scheduler is None or self.current is not None or self._set_before:
            return
        self._idle += 1
        caller = calling_pipeline()
        if self._idle == IDLE and (caller is None or self._serves(caller)):
            self._tell(messages.never_called(self.network))

    def _tell(self, message: str) -> None:
        """Warn once for every propagation."""
        if message not in self._told:
            self._told.add(message)
            warn(message, NoEffectWarning)
