"""Who is calling: which pipeline, on which thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fdplug.errors import PropagationError


def calling_pipeline() -> Any:
    """Return the pipeline whose `__call__` runs on this thread, the innermost one; None for a loop of one's own."""
    return _pipeline_below(sys._getframe(1))


def _pipeline_below(frame: FrameType | None) -> Any:
    call = _call_below(frame)
    return None if call is None else call.f_locals["self"]


def _call_below(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        if frame.f_code.co_name == "__call__":
            owner = frame.f_locals.get("self")
            if getattr(owner, "scheduler", None) is not None:
                return frame
        frame = frame.f_back
    return None


def calling_frame() -> int:
    """Return what tells the call of a pipeline that runs on this thread from others; 0 for a loop of one's own."""
    call = _call_below(sys._getframe(1))
    return 0 if call is None else id(call)


def entered_by() -> tuple[Any, str]:
    """Return the pipeline of which a method was called on this thread, the outermost one, and the method's name.

    That is `__call__` of most runs, another one where an image is inverted or a mask is made; nobody and no name for a
    loop of one's own.
    """
    frame: FrameType | None = sys._getframe(1)
    found: tuple[Any, str] = (None, "")
    while frame is not None:
        owner = frame.f_locals.get("self")
        if callable(owner) and getattr(owner, "__dict__", {}).get("scheduler") is not None:
            found = owner, frame.f_code.co_name
        frame = frame.f_back
    return found


@dataclass(frozen=True)
class Caller:
    """The call of a pipeline that runs on this thread, and what it calls things."""

    pipe: Any
    names: Mapping[str, Any]

    @classmethod
    def now(cls) -> Caller | None:
        """Return the innermost one; None for a loop of one's own."""
        frame = _call_below(sys._getframe(1))
        return None if frame is None else cls(frame.f_locals["self"], frame.f_locals)

    def says(self, *names: str) -> bool | None:
        """Whether the first of these that is a property of the pipeline or a name inside its call is true."""
        for name in names:
            if isinstance(getattr(type(self.pipe), name, None), property):
                return bool(getattr(self.pipe, name))
            if name in self.names:
                return bool(self.names[name])
        return None

    def is_above(self, name: str, limit: float) -> bool | None:
        """Whether a number of this name inside the pipeline's call is above a limit; None where there is none."""
        value = self.names.get(name)
        return value > limit if isinstance(value, int | float) else None


class ThreadGuard:
    """Lets one thread at a time use a propagated pipeline: a run keeps its place in one scheduler and one denoiser."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._pipe: Any = None

    def take(self) -> None:
        """Make this thread the one whose run it is.

        Raises:
            PropagationError: another thread is inside a call of the same pipeline.
        """
        with self._lock:
            self.check_idle()
            self._owner, self._pipe = threading.get_ident(), calling_pipeline()

    def check_idle(self) -> None:
        """Raise `PropagationError` if another thread is inside a call of the same pipeline."""
        if self._owner not in (None, threading.get_ident()) and self._busy():
            raise PropagationError(
                "this pipeline is propagated and another thread is in the middle of a run with it; a scheduler and "
                "a denoiser hold one run at a time: give every thread a pipeline of its own, or take turns"
            )

    def _busy(self) -> bool:
        if self._pipe is None or self._owner is None:
            return False
        return _pipeline_below(sys._current_frames().get(self._owner)) is self._pipe

    def check(self) -> None:
        """Raise `PropagationError` if the run belongs to another thread."""
        if self._owner not in (None, threading.get_ident()):
            raise PropagationError(
                "another thread has begun a run with this propagated pipeline, so that this one cannot go on; "
                "give every thread a pipeline of its own, or take turns"
            )

    def release(self) -> None:
        """Let any thread begin."""
        self._owner = self._pipe = None
