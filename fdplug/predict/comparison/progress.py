"""Progress of a comparison: two bars on a terminal, a line per round elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from fdplug.predict.comparison.variant_run import VariantRun


def bars(console: Console) -> Progress:
    """Bars with counts and times, on a terminal only."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


class LiveWatcher:
    """Shows how far the comparison is.

    Args:
        console: where it shows.
        progress: what `bars` returned, started.
        total: batches in all, over variants and rounds.
        per_round: batches in one round.
    """

    def __init__(self, console: Console, progress: Progress, total: int, per_round: int) -> None:
        self.console, self.progress = console, progress
        self.total, self.per_round = total, per_round
        self.done = self.generated = 0
        self.start = time.perf_counter()
        self._batches: Any = progress.add_task("variants x batches", total=total)
        self._steps: Any = progress.add_task("denoising", total=None)

    def begin(self, variant_run: VariantRun, number: int) -> None:
        """A variant starts a round."""
        title = f"round {number + 1}, {variant_run.variant.name}"
        self.progress.reset(self._steps, total=variant_run.generation.resolved_steps, description=title)

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""
        self.progress.update(self._steps, completed=done, total=total)

    def finish(self, generated: bool) -> None:
        """A variant has generated a batch, or an earlier run had."""
        self.done += 1
        self.generated += generated
        self.progress.update(self._batches, completed=self.done)
        if not self.console.is_terminal and self.done % self.per_round == 0:
            self.console.print(f"round {self.done // self.per_round} of {self.total // self.per_round}, {self._pace()}")

    def _pace(self) -> str:
        """Seconds so far, and those to come at the pace of what was generated."""
        seconds = time.perf_counter() - self.start
        if not self.generated:
            return f"{seconds:.0f} s, by an earlier run"
        return f"{seconds:.0f} s, {seconds / self.generated * (self.total - self.done):.0f} s left"
