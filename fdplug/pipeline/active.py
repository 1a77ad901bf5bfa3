"""Which denoisers are propagated now: a denoiser serves one propagation at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from fdplug.errors import PipelineError
from fdplug.lookup import find_families

if TYPE_CHECKING:
    from fdplug.propagation.stage import Stage

ACTIVE: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""Propagations by their denoisers' ids."""


def enter(stages: Iterable[Stage], handle: Any) -> None:
    """Note that a propagation has these denoisers."""
    for stage in stages:
        ACTIVE[id(stage.network)] = handle


def leave(stages: Iterable[Stage]) -> None:
    """Note that a propagation has these denoisers no longer."""
    for stage in stages:
        ACTIVE.pop(id(stage.network), None)


def is_propagated(pipe: Any) -> bool:
    """Whether propagation is switched on for the pipeline's denoiser, or for one of them, by whichever pipeline."""
    found = [ACTIVE.get(id(network)) for _, network in find_families(pipe)]
    return any(one is not None and one.active for one in found)


def check_unshared(pipe: Any, stages: Iterable[Stage]) -> None:
    """Refuse a ready plugin object that holds what belongs to the run of another pipeline.

    Raises:
        PipelineError: another pipeline is propagated with the same object.
    """
    others = [one for one in set(ACTIVE.values()) if one.active and one.pipe is not pipe]
    theirs = {id(one): other for other in others for stage in other.stages for one in stage.method.stateful().values()}
    for stage in stages:
        for kind, one in stage.method.stateful().items():
            if id(one) in theirs:
                raise PipelineError(
                    f"this {kind} object ('{one.name}') holds what belongs to the run of a "
                    f"{type(theirs[id(one)].pipe).__name__} that is propagated with it: give each pipeline an object "
                    f"of its own, or the name, {kind}='{one.name}'"
                )


def make_room(pipe: Any, stages: Iterable[Stage]) -> list[Any]:
    """Switch earlier propagations of the same pipeline off, and return them.

    Raises:
        PipelineError: a denoiser is shared with another pipeline that is propagated, or another thread is in the middle
            of a run.
    """
    networks = [stage.network for stage in stages]
    earlier = {id(one): one for one in (ACTIVE.get(id(network)) for network in networks) if one is not None}
    found = [one for one in earlier.values() if one.active]
    for one in found:
        if one.pipe is not pipe:
            shared = next(network for network in networks if ACTIVE.get(id(network)) is one)
            raise PipelineError(
                f"this {type(shared).__name__} is already propagated by another {type(one.pipe).__name__}; "
                "a denoiser serves one propagation at a time: call remove() on the first"
            )
        one.check_idle()
    for one in found:
        one.suspend()
    return found


def bring_back(replaced: Iterable[Any], everything: bool) -> None:
    """Switch on again what was replaced, or what that had replaced itself, unless it was removed since.

    Args:
        replaced: the propagations.
        everything: also those that are no `with` blocks which go on.
    """
    for one in replaced:
        if not one.wanted or not (one.inside or everything):
            bring_back(one.replaced, everything)
        elif not one.active:
            one.resume()
