"""How far a search is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 20.0
"""Seconds between two lines where there is no terminal."""


class Clock:
    """The time that a search may take.

    Args:
        limit: seconds in all; None: no limit.
        now: gives the time in seconds.
    """

    def __init__(self, limit: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._now = limit, now
        self._start = now()
        self._due = limit

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._start

    def share(self, pieces: int) -> None:
        """Give the first of so many pieces of work its share of what is left."""
        if self._limit is not None:
            self._due = self.elapsed + (self._limit - self.elapsed) / pieces

    def left(self, reserve: float = 0.0) -> float:
        """Return the seconds that are left, without a reserve; infinite without a limit."""
        return float("inf") if self._due is None else self._due - self.elapsed - reserve


class Teller:
    """Says how far a search is and what is best so far; this one says nothing."""

    def phase(self, title: str, total: int | None = None) -> None:
        """Begin a phase of so many pieces of work."""

    def advance(self, done: int, total: int | None = None) -> None:
        """So many pieces of the phase are done."""

    def best(self, text: str) -> None:
        """Show what is best so far."""

    def __enter__(self) -> Teller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


class ConsoleTeller(Teller):
    """Shows it on a console.

    Args:
        console: where.
        clock: the time of the search.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        from rich.progress import (  # `import fdplug` must not wait for it
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description:<26}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
        shown = (*columns, TimeRemainingColumn(), TextColumn("{task.fields[best]}"))
        self._bars = Progress(*shown, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._clock = console, clock
        self._task: Any = None
        self._title, self._best, self._begun, self._said = "", "", 0.0, 0.0

    def __enter__(self) -> Teller:
        self._bars.start()
        self._task = self._bars.add_task("", total=None, best="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def phase(self, title: str, total: int | None = None) -> None:
        self._title, self._begun = title, self._clock.elapsed
        self._bars.reset(self._task, description=title, total=total, best=self._best)
        self._say(title)

    def advance(self, done: int, total: int | None = None) -> None:
        self._bars.update(self._task, completed=done, total=total)
        if self._clock.elapsed - self._said >= EVERY and total:
            pace = (self._clock.elapsed - self._begun) / max(1, done)
            left = min(pace * (total - done), max(0.0, self._clock.left()))
            self._say(f"{self._title}: {done} of {total}, about {left:.0f} s of it left{self._so_far()}")

    def best(self, text: str) -> None:
        if text != self._best:
            self._best = text
            self._bars.update(self._task, best=f"best: {text}")

    def _so_far(self) -> str:
        return f"; best so far: {self._best}" if self._best else ""

    def _say(self, text: str) -> None:
        """Print a line where there is no bar."""
        self._said = self._clock.elapsed
        if not self._console.is_terminal:
            self._console.print(f"{self._clock.elapsed:5.0f} s  {text}", highlight=False, soft_wrap=True)
