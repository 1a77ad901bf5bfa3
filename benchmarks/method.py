"""What a method is: a context in which a pipeline is accelerated, and as before behind it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

import fdplug
from benchmarks.architectures import Architecture
from fdplug.patching import Patch, PatchStack

Enter = Callable[[Any, Architecture], AbstractContextManager[Any]]


class NotApplicableError(Exception):
    """A method has nothing to work on here; the message says why."""


@dataclass(frozen=True)
class Method:
    """One method: its title, how it is switched on, and by how much it divides the number of steps."""

    title: str
    enter: Enter
    fewer: int = 1


def propagation(pipe: Any, of: Architecture, tome: bool = False, **settings: Any) -> AbstractContextManager[Any]:
    """Switch fdplug on; by default with the architecture's key steps."""
    transforms: list[Any] = [*_tome(of)] if tome else []
    transforms += settings.pop("transforms", ())
    chosen: dict[str, Any] = {"policy": of.policy, "injector": "none", **settings}
    return fdplug.propagate(pipe, transforms=transforms, **chosen)


def _tome(of: Architecture) -> Sequence[Any]:
    if not of.tome:
        raise NotApplicableError("token merging works on U-Nets")
    from fdplug_tome import TokenMerging

    return [TokenMerging(max_downsample=of.tome)]


class Clock:
    """Tells the timestep that a pipeline is at, which not all pipelines do."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._step = 0

    @property
    def timestep(self) -> int:
        """The timestep of the call that is being made."""
        return self._values[self._step]

    @contextmanager
    def on(self, scheduler: Any) -> Iterator[None]:
        """Follow a scheduler."""

        def begin(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            self._values, self._step = [int(value) for value in scheduler.timesteps.tolist()], 0

        def step(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._step = min(self._step + 1, len(self._values) - 1)
            return original(*args, **kwargs)

        patches = PatchStack()
        patches.apply([Patch(scheduler, "set_timesteps", begin), Patch(scheduler, "step", step)])
        try:
            yield
        finally:
            patches.remove()


@contextmanager
def as_before(*networks: nn.Module) -> Iterator[None]:
    """Take off what a library leaves on modules behind its own undo; children are in the order in which they were."""
    held = [vars(module) for network in networks for module in network.modules()]
    tables = [value for one in held for value in one.values() if type(value) in (dict, OrderedDict)]
    before = [(one, dict(one)) for one in (*held, *tables)]
    try:
        yield
    finally:
        for one, entries in before:
            one.clear()
            one.update(entries)
