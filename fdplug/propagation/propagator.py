"""Record, replay, decode a span: what happens inside the denoiser while a pipeline runs.

The patched denoiser calls its own, unmodified `forward`. The part's modules are patched too: at a key step they compute
and write their features to the cache, at the others they answer from it. A span may be decoded in one call: the batch
is repeated time-major ([step 0: B rows, step 1: B rows, ...]), the part runs on the first B rows and the cache hands
out features for all of them. One step at a time is the same with a window of one step.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.denoisers.base import is_compiled
from fdplug.errors import FdplugWarning, NoEffectWarning, PropagationError
from fdplug.injectors import NoNoise
from fdplug.policies import AdaptivePolicy
from fdplug.profiling.ledger import WHOLE, Entry, Ledger
from fdplug.propagation.call import Call
from fdplug.propagation.decoding import PartComputed
from fdplug.propagation.method import Method
from fdplug.propagation.plan import key_steps
from fdplug.propagation.replay import Replay
from fdplug.propagation.run import Lane, Run, shown
from fdplug.propagation.window import Window

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.denoisers import Companion


class Propagator:
    """Answers for the denoiser, its part, its companions and its scheduler during a run."""

    def __init__(
        self, method: Method, network: nn.Module, follow: Callable[[], Any], count: Callable[[], int | None]
    ) -> None:
        """Know what to work on.

        Args:
            method: the plain objects to work with.
            network: the denoiser.
            follow: returns the pipeline's scheduler, seeing to it that it is patched.
            count: returns how many steps the pipeline is going to take, None where it does not say.
        """
        self.method = method
        self.ledger = Ledger(self.paused)
        self._network = network
        self._follow = follow
        self._count = count
        self._replay = Replay(method.cache, method.part.chained)
        self._run: Run | None = None
        self._keys: frozenset[int] = frozenset()
        self._module_keys: Mapping[str, frozenset[int]] = {}
        self._replayed = False
        self._window: Window | None = None
        self._awaited: set[str] = set()
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the denoiser be what it is without us."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    # --- the scheduler -----------------------------------------------------------------------------------------------

    def begin(self, scheduler: Any) -> None:
        """Begin a new run: nothing of the last one is left."""
        self.forget()
        self._run = Run(scheduler)

    def go_on(self, scheduler: Any) -> None:
        """Go on with a copy of the run's scheduler."""
        if self._run is not None:
            self._run.scheduler = scheduler

    def forget(self) -> None:
        """Drop the run and free what it kept; the ledger stays."""
        self._run = None
        self._window = None
        self._replay.clear()

    def around_set_timesteps(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Begin a new run after the scheduler has set its timesteps."""
        result = original(*args, **kwargs)
        self.begin(self._follow())
        return result

    def around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Inject noise into the sample, let the scheduler take its step, and count it."""
        run = self._run
        if self._paused or run is None or run.schedule is None or run.over:
            return original(*args, **kwargs)
        if not isinstance(self.method.injector, NoNoise):
            args, kwargs = self._injected(run, original, args, kwargs)
        result = original(*args, **kwargs)
        run.advance()
        if run.over:
            self._finish()
        return result

    def _injected(self, run: Run, original: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
        bound = inspect.signature(original).bind(*args, **kwargs)
        sample = bound.arguments["sample"]
        if run.prior is None or run.prior.shape != sample.shape:
            run.prior = sample
        assert run.schedule is not None
        step = run.schedule.step(run.step)
        bound.arguments["sample"] = self.method.injector.inject(sample, run.scaled_prior(), step)
        return bound.args, bound.kwargs

    def _finish(self) -> None:
        self._replay.clear()
        self.method.decoding.finish()
        steps = len(self.ledger.steps)
        if self.method.replays and len(self.ledger.key_steps) == steps and not self._replayed:
            warnings.warn(
                f"propagation changed nothing: policy '{self.method.policy.name}' made all {steps} steps key steps; "
                "take more steps or another policy",
                NoEffectWarning,
                stacklevel=4,
            )

    # --- the denoiser ------------------------------------------------------------------------------------------------

    def around_denoiser(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Answer one call of the denoiser: from what was decoded ahead, or by calling it."""
        run = self._current_run()
        if run is None:
            return original(*args, **kwargs)
        call = Call.of(self.method.family, self._network, args, kwargs)
        if not self._belongs(run, call):
            return original(*args, **kwargs)
        self.ledger.introduce(call.role.component, self._network, call.example, self.method.part.modules)
        lane = run.next_lane(call.role.component)
        ahead = self._ahead(run, lane, call)
        return self._decode(run, lane, call, original, args, kwargs) if ahead is None else ahead

    def _current_run(self) -> Run | None:
        if self._paused:
            return None
        scheduler = self._follow()
        if self._run is not None and self._run.scheduler is not scheduler:
            self.begin(scheduler)
        return self._run

    def _belongs(self, run: Run, call: Call) -> bool:
        """Whether this is a call of the run, which its first call starts."""
        if run.schedule is None:
            self._start(run, call)
            return True
        if run.follow(call):
            return True
        if not run.over:
            _warn_foreign(run, call)
        return False

    def _start(self, run: Run, call: Call) -> None:
        schedule = run.start(call, self._count())
        run.one_by_one = self.method.family.couples_rows(self._network)
        if run.one_by_one and self.method.insists:
            raise PropagationError(
                "the rows of this batch see each other, as Text2Video-Zero's frames do, so a span cannot be decoded in "
                "one batch; take decoding='auto' or 'serial'"
            )
        self._keys, self._module_keys = key_steps(self.method.policy, self.method.part, schedule)
        self._replayed = False
        self._replay.writes = is_compiled(self._network)
        self.method.cache.begin(schedule)
        self.ledger.reset(schedule.num_steps)
        self.method.decoding.begin(run, call, self.method.described(), self._network, self.ledger)

    def _ahead(self, run: Run, lane: Lane, call: Call) -> Any:
        """Return what was decoded ahead for this step, None where nothing was or the call no longer fits it."""
        prediction = lane.predictions.pop(run.step, None)
        if prediction is None or not lane.fits(call):
            return None
        if lane.conditioned_on(call):
            return prediction
        run.one_by_one = True
        lane.predictions.clear()
        message = "the conditioning changed within a span: the rest of this run is decoded one step at a time"
        warnings.warn(message, FdplugWarning, stacklevel=5)
        return None

    def _decode(self, run: Run, lane: Lane, call: Call, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        computes, fresh = self._computes(run, lane, call), not lane.fits(call)
        window = Window(lane.index, self._steps(run, call), call.rows, computes, fresh)
        times = len(window.steps)
        denoise = partial(self._denoise, call, run.timesteps, partial(original, *args, **kwargs), original)
        try:
            with self.method.measuring(call.sample, times):
                output = self.method.decoding.decode(window, call, denoise)
        except BaseException:
            self.forget()
            raise
        lane.shape = call.sample.shape
        lane.conditioning = call.conditioning if times > 1 else []
        lane.predictions = dict(zip(window.steps, trees.split_rows(output, times), strict=True))
        return lane.predictions.pop(run.step)

    def _denoise(
        self, call: Call, timesteps: Tensor, as_called: Callable[[], Any], network: Callable[..., Any], window: Window
    ) -> Any:
        """Call the denoiser once for a window; return None where that was for the part alone."""
        self._window, self._awaited = window, set(self.method.part.modules)
        steps = window.touched
        try:
            if len(steps) == 1 and window.portion is None and not window.part_only:
                output = as_called()
            else:
                output = network(**call.portion(timesteps[steps[0] : steps[-1] + 1], window))
        except PartComputed:
            return None
        finally:
            self._window = None
        self._record(WHOLE, window, window.size)
        return output

    def _computes(self, run: Run, lane: Lane, call: Call) -> bool:
        """Whether the part is computed at this step: at key steps, and where the features kept are of another shape."""
        policy = self.method.policy
        if isinstance(policy, AdaptivePolicy):
            assert run.schedule is not None
            is_key = run.decision
            if is_key is None:
                is_key = run.decide(policy.is_key(run.schedule.step(run.step), call.sample))
        else:
            is_key = run.step in self._keys
        return is_key or not lane.fits(call)

    def _steps(self, run: Run, call: Call) -> tuple[int, ...]:
        """Return the steps that this call may answer: the rest of the span, or as much of it as memory allows."""
        assert run.schedule is not None
        if run.one_by_one or not self.method.parallel:
            return (run.step,)
        end = min((key for key in self._keys if key > run.step), default=run.schedule.end)
        end = min(end, run.schedule.end)
        begins = run.step == run.schedule.start
        return tuple(range(run.step, run.step + self.method.share(end - run.step, call.sample, begins)))

    def _record(self, module: str, window: Window, rows: int) -> None:
        network = self.method.family.component
        self.ledger.record(Entry(window.steps, network, module, rows, window.computes))

    # --- the part ----------------------------------------------------------------------------------------------------

    def around_module(self, name: str) -> Callable[..., Any]:
        """Return what is to be called around the forward of module `name` of the part."""

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            window = self._window
            if window is None:
                return original(*args, **kwargs)
            if not self._module_computes(name, window):
                self._replayed |= window.portion is None
                return self._replay.answer(name, window)
            args, kwargs = self._first_step(window, args, kwargs)
            output = original(*args, **kwargs)
            self._record(name, window, window.rows)
            if self.method.replays or window.part_only:
                output = self._replay.keep(name, window, output)
            self._awaited.discard(name)
            if window.part_only and not self._awaited:
                raise PartComputed
            return output

        return around

    def _module_computes(self, name: str, window: Window) -> bool:
        """Whether a module is computed: all at key steps, or each at its own, unless nothing kept fits."""
        if window.portion is not None:
            return False
        own = self._module_keys.get(name)
        return window.computes if own is None or window.fresh else window.steps[0] in own

    def _first_step(self, window: Window, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Cut what a module is given for a whole window down to the rows of its first step."""
        batched = {name: value for name, value in kwargs.items() if name not in self.method.family.unbatched}
        args, batched = trees.first_rows((args, batched), window.rows, len(window.steps))
        return args, {**kwargs, **batched}

    # --- the companions ----------------------------------------------------------------------------------------------

    def around_companion(self, companion: Companion, network: nn.Module) -> Callable[..., Any]:
        """Return what is to be called around a companion's forward: its whole output is computed or replayed."""

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            run = self._current_run()
            if run is None:
                return original(*args, **kwargs)
            call = Call.of(companion, network, args, kwargs)
            if not self._belongs(run, call):
                return original(*args, **kwargs)
            self.ledger.introduce(companion.component, network, call.example)
            return self._accompany(run, run.next_lane(companion.component), call, partial(original, *args, **kwargs))

        return around

    def _accompany(self, run: Run, lane: Lane, call: Call, compute: Callable[[], Any]) -> Any:
        """Return the output kept; compute it at key steps, and where its conditioning is no longer the one kept.

        What the denoiser decoded ahead rests on the output that was kept: a new one makes it void.
        """
        is_key = self._computes(run, lane, call)
        if is_key or not lane.conditioned_on(call):
            run.drop_predictions()
            try:
                lane.output = compute()
            except BaseException:
                self.forget()
                raise
            lane.shape, lane.conditioning = call.sample.shape, call.conditioning
            self.ledger.record(Entry((run.step,), call.role.component, WHOLE, call.rows, is_key))
        return lane.output


def _warn_foreign(run: Run, call: Call) -> None:
    assert run.schedule is not None
    expected = run.schedule.timesteps[run.step]
    message = (
        f"the {call.role.component} was called with timestep {shown(call.timestep)}, the run is at {expected:g}: "
        "this call is left as it is"
    )
    warnings.warn(message, FdplugWarning, stacklevel=5)
