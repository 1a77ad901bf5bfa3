"""`python -m fdplug`, and the process of the command `fdplug`: from its first line to its last."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

INTERRUPTED = 130
PATIENCE = 5.0
"""Seconds in which threads that others have started may come to their end, once the command has."""


def main() -> int:
    """Run the command; return the exit code."""
    try:
        from fdplug.cli import main

        code = main()
        _part(code)
    except KeyboardInterrupt:  # before or after the command itself, which says more
        os.write(2, b"fdplug: interrupted; the same command goes on or begins anew\n")
        os._exit(INTERRUPTED)
    return code


def _part(code: int) -> None:
    """End the process where a thread of somebody else goes on, which Python would wait for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is done is done
    if code == INTERRUPTED:
        _leave(code)  # Python would end by the signal where the interrupt has passed through an `exec`
    others = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    for one in others:
        one.join(PATIENCE / len(others))
    running = ", ".join(one.name for one in others if one.is_alive())
    if running:
        print(f"fdplug: {running}, a thread that a plugin or a library has started, goes on: ended", file=sys.stderr)
        _leave(code)


def _leave(code: int) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
