"""Ctrl-C: it ends a command wherever it comes, also where a library loses it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE = 15.0
"""Seconds after which a command ends that has been interrupted and has not come to its end."""
CODE = 130
"""What a command that was interrupted returns."""


class Interrupts:
    """What became of Ctrl-C while a command runs.

    Attributes:
        came: whether it was pressed.
    """

    def __init__(self, say: Callable[[], str]) -> None:
        """Wait for it.

        Args:
            say: returns the line that is written where the command cannot say it any more; nothing: none is.
        """
        self.came = False
        self._say, self._process = say, os.getpid()
        self._timer: threading.Timer | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Interrupt what is going on; end the command at once where that has been done before."""
        if self._timer is not None and os.getpid() == self._process:
            self.end()
        self.came = True
        self._timer = threading.Timer(GRACE, self.end)
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt

    def end(self) -> None:
        """End the process; what it writes is there whole or not at all."""
        show = "\x1b[?25h" if sys.stderr.isatty() else ""  # bars hide the cursor
        if line := self._say():
            os.write(2, f"{show}{line}\n".encode())
        os._exit(CODE)

    def lost(self, unraisable: Any) -> None:
        """Interrupt once more, as Python drops what is raised while an object is taken down."""
        self.cancel()
        again = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
        again.daemon = True
        again.start()

    def cancel(self) -> None:
        """Let the command end by itself."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


@contextmanager
def heeded(say: Callable[[], str]) -> Iterator[Interrupts]:
    """Heed Ctrl-C while a command runs.

    It raises KeyboardInterrupt; where that is lost or takes long, the command ends after a while, and at once where it
    is pressed again. Where somebody else handles it, or has it ignored, that stays so.

    Args:
        say: returns what is written then.
    """
    found = Interrupts(say)
    if not _is_ours_to_handle():
        yield found
        return
    usual = sys.unraisablehook

    def unraisable(given: Any) -> None:
        found.lost(given) if issubclass(given.exc_type, KeyboardInterrupt) else usual(given)

    signal.signal(signal.SIGINT, found.handle)
    sys.unraisablehook = unraisable
    try:
        yield found
    finally:
        found.cancel()
        sys.unraisablehook = usual
        signal.signal(signal.SIGINT, signal.SIG_IGN if found.came else signal.default_int_handler)


def _is_ours_to_handle() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed meanwhile: a KeyboardInterrupt may be somebody's own."""
    pressed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False  # nobody is interrupted here
        return

    def note(number: int, frame: FrameType | None) -> Any:
        pressed.append(True)
        return before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
