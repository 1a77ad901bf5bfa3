"""Progress of a comparison: two bars on a terminal, a line per round elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.results import ResultFolder
    from fdplug.predict.trial import Trial


def bars(console: Console) -> Progress:
    """Bars with counts and times, on a terminal only."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


class LiveWatcher:
    """Shows how far the comparison is, and writes each image as soon as it is drawn.

    Args:
        console: Where it shows.
        progress: What `bars` returned, started.
        folder: Where images go.
        total: Batches in all, over variants and rounds.
        per_round: Batches in one round.
    """

    def __init__(self, console: Console, progress: Progress, folder: ResultFolder, total: int, per_round: int) -> None:
        self.console, self.progress, self.folder = console, progress, folder
        self.total, self.per_round = total, per_round
        self.done = 0
        self.start = time.perf_counter()
        self._batches: Any = progress.add_task("variants x batches", total=total)
        self._steps: Any = progress.add_task("denoising", total=None)

    def begin(self, trial: Trial, number: int) -> None:
        """A variant starts a round."""
        title = f"round {number + 1}, {trial.variant.name}"
        self.progress.reset(self._steps, total=trial.look.steps, description=title)

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""
        self.progress.update(self._steps, completed=done, total=total)

    def finish(self, trial: Trial, captions: Sequence[Caption], images: Tensor, keep: bool) -> None:
        """A variant has drawn a batch."""
        if keep:
            self.folder.write_images(trial, captions, images)
        self.done += 1
        self.progress.update(self._batches, completed=self.done)
        if not self.console.is_terminal and self.done % self.per_round == 0:
            seconds = time.perf_counter() - self.start
            self.console.print(
                f"round {self.done // self.per_round} of {self.total // self.per_round}, {seconds:.0f} s"
            )
