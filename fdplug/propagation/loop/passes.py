"""One pass of the denoiser for a window of steps, and what the modules of its part do in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError
from fdplug.profiling.ledger import WHOLE, LedgerEntry
from fdplug.propagation import messages
from fdplug.propagation.calls.call import first_step, positions
from fdplug.propagation.decoding import PartComputed
from fdplug.propagation.guided import conditional_rows
from fdplug.propagation.replay import NotKept
from fdplug.propagation.residual import added

if TYPE_CHECKING:
    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.run import Run
    from fdplug.propagation.stage import Stage
    from fdplug.propagation.window import Window


class Passes:
    """Makes passes of the denoiser, and stands around the modules of its part while one goes on."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._awaited: set[str] = set()

    # --- the denoiser ------------------------------------------------------------------------------------------------

    def make(self, run: Run, call: Call, network: Callable[..., Any], window: Window) -> Any:
        """Call the denoiser once for a window; return None where that was for the part alone."""
        replay = self._runs.replay
        run.window, self._awaited = window, set(self._runs.method.part.modules)
        replay.begin()
        try:
            output = self._call(run, call, network, window)
            window = run.window
        except PartComputed:
            replay.end(window)
            return None
        except NotKept:
            if window.portion is not None:
                raise PropagationError(messages.MODULES_SKIPPED) from None
            return self.make(run, call, network, window.afresh())
        finally:
            run.window = None
        if window.undecided:
            raise PropagationError(
                f"the denoiser did not run {self._runs.method.part.probe}, by which policy "
                f"'{self._runs.method.policy.name}' decides; take another policy or part"
            )
        self._record(WHOLE, window, window.size)
        if replay.end(window) and window.portion is None:
            return self.make(run, call, network, window.afresh())
        return output

    def _call(self, run: Run, call: Call, network: Callable[..., Any], window: Window) -> Any:
        if len(window.touched) == 1 and window.portion is None and not window.part_only:
            return call.make(network)
        given, named = call.portion(run.timesteps, window)
        return network(*given, **named)

    def _record(self, module: str, window: Window, rows: int) -> None:
        network = self._runs.method.family.component
        self._runs.ledger.record(LedgerEntry(window.steps, network, module, rows, window.computes, window.example))

    # --- the part ----------------------------------------------------------------------------------------------------

    def module(self, stage: Stage, name: str) -> Callable[..., Any]:
        """Return what is to be called around the forward of module `name` of a stage's part."""
        first, unbatched = stage.method.part.modules[0], stage.method.family.unbatched
        places = positions(stage.network.get_submodule(name))

        def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            run, replay = self._runs.current, self._runs.replay
            if run is None or run.window is None:
                return original(*args, **kwargs)
            window = run.window
            replay.ask(name)
            if name == first:
                replay.see(args, kwargs)
            if run.plan.computes(name, window):
                args, kwargs = first_step(window, args, kwargs, places, unbatched)
                return self._compute(name, window, original, args, kwargs)
            run.replayed |= window.portion is None
            return replay.answer(name, window)

        return around

    def _compute(self, name: str, window: Window, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return what a module of the part makes of its first step's rows, for every step of a window, and keep it."""
        self._runs.replay.read(args, kwargs)
        output = original(*args, **kwargs)
        self._record(name, window, window.rows)
        if self._runs.method.policy.replays or window.part_only:
            output = self._runs.replay.keep(name, window, output)
        self._awaited.discard(name)
        if window.part_only and not self._awaited:
            raise PartComputed
        return output

    def probe(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Let the part's probe compute, and the policy decide by what it adds to its input."""
        output = original(*args, **kwargs)
        run = self._runs.current
        window = None if run is None else run.window
        if run is not None and window is not None and window.undecided:
            is_key = run.is_key(conditional_rows(added(args, kwargs, output), window.groups))
            run.window = replace(window, computes=window.fresh or is_key, undecided=False)
        return output
