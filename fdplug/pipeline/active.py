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


def make_room(pipe: Any, network: Any) -> None:
    """Remove an earlier propagation of the same pipeline; refuse to share a denoiser with another pipeline."""
    earlier = ACTIVE.get(id(network))
    if earlier is None or not earlier.active:
        return
    if earlier.pipe is not pipe:
        raise PipelineError(
            f"this {type(network).__name__} is already propagated by another {type(earlier.pipe).__name__}; "
            "a denoiser serves one propagation at a time: call remove() on the first"
        )
    earlier.remove()
