"""What happens around the scheduler: runs begin, noise is injected, steps are counted."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError
from fdplug.propagation import messages
from fdplug.propagation.loop.ends import finish

if TYPE_CHECKING:
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.run import Run

SAMPLE = 2  # among the arguments of a scheduler's step: the prediction, the timestep, the sample


class AroundScheduler:
    """Stands around `set_timesteps` and `step` of a pipeline's scheduler."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def set_timesteps(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Begin a new run after the scheduler has set its timesteps."""
        self._runs.guard.take()
        result = original(*args, **kwargs)
        self._runs.begin_anew()
        return result

    def step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Inject noise into the sample, let the scheduler take its step, and count it."""
        runs, run = self._runs, self._runs.current
        if runs.is_paused or run is None or run.over:
            runs.count_idle()
            return original(*args, **kwargs)
        runs.guard.check()
        if kwargs.get("eta"):
            runs.method.check_solver(run.scheduler, kwargs["eta"])
        if runs.injects:
            args, kwargs = self._injected(run, original, args, kwargs)
        result = original(*args, **kwargs)
        run.advance()
        if run.over:
            runs.replay.clear()
            finish(run, runs.method, runs.ledger)
        return result

    def _injected(self, run: Run, original: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
        step = run.schedule.step(run.step)

        def injected(sample: Any) -> Any:
            return self._runs.method.injector.inject(sample, run.prior(sample), step)

        if "sample" in kwargs:
            return args, {**kwargs, "sample": injected(kwargs["sample"])}
        names = list(_signature(original).parameters)
        place = names.index("sample") if "sample" in names else SAMPLE
        if len(args) <= place:
            raise PropagationError(messages.no_sample(run.scheduler))
        return (*args[:place], injected(args[place]), *args[place + 1 :]), kwargs


def _signature(method: Callable[..., Any]) -> inspect.Signature:
    """Return what a method is called with; what it says of a class's own is remembered."""
    if isinstance(method, MethodType) and isinstance(method.__func__, FunctionType):
        return _bound(method.__func__)
    return inspect.signature(method)


@functools.lru_cache(maxsize=64)
def _bound(function: FunctionType) -> inspect.Signature:
    """Return the signature of a function without its first parameter, the object that it is a method of."""
    return inspect.signature(MethodType(function, object()))
