"""How far a prediction is: images and denoising steps as bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class ImageBar(ProgressBar):
    """Images done of those of the first process, images/s of all processes, the time left, and denoising steps.

    Args:
        console: where it shows.
        every: seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console | None = None, every: float = EVERY) -> None:
        super().__init__()
        self.console = console or Console()
        self.every = every
        self._on = True
        self._bars: Progress | None = None

    def disable(self) -> None:
        """Show nothing; for all processes but the first."""
        self._on = False

    def enable(self) -> None:
        """Show again."""
        self._on = True

    @property
    def has_bars(self) -> bool:
        """Whether bars are shown: in the first process, on a terminal."""
        return self._on and self.console.is_terminal

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bars."""
        self.console.print(*args, **kwargs)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count; on a terminal, show the bars."""
        self._ranks = trainer.world_size
        self._total, self._done, self._generated = _share(trainer), 0, 0
        self._start = self._said = time.perf_counter()
        if self.has_bars:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]}"),
            )
            self._bars = Progress(*columns, console=self.console)
            self._images = self._bars.add_task(_name(self._ranks), total=self._total, pace="")
            self._steps = self._bars.add_task("denoising", total=None, pace="")
            self._bars.start()

    def show_step(self, done: int, total: int) -> None:
        """Move the lower bar."""
        if self._bars is not None:
            self._bars.update(self._steps, completed=done, total=total)

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Move the upper bar, or say how far it is if nothing was said for a while."""
        self._done += len(batch)
        self._generated += len(outputs.generated)
        now = time.perf_counter()
        pace = _pace(self._done, self._total, self._generated, now - self._start, self._ranks)
        if self._bars is not None:
            self._bars.update(self._images, completed=self._done, pace=pace)
        elif self._on and (now - self._said >= self.every or self._done == self._total):
            self._said = now
            self.console.print(
                f"{self._done} of {self._total} {_name(self._ranks)}, {pace}", highlight=False, soft_wrap=True
            )

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the bars as they are."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Give the terminal back."""
        self._close()

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def step_watcher(trainer: Any) -> Callable[[int, int], None] | None:
    """Return what is to be called as the denoising goes on; None where no `ImageBar` of the trainer shows it."""
    bars = (one for one in trainer.callbacks if isinstance(one, ImageBar) and one.has_bars)
    return next((one.show_step for one in bars), None)


def _share(trainer: Any) -> int | None:
    """How many images this process has to generate or to read; None if the data do not say."""
    loaders = trainer.predict_dataloaders
    batches = getattr(getattr(loaders, "dataset", None), "batches", None)
    if batches is None:
        return None
    return sum(len(batch) for batch in batches[trainer.global_rank :: trainer.world_size])


def _name(ranks: int) -> str:
    return "images" if ranks == 1 else f"images (of process 1 of {ranks})"


def _pace(done: int, total: int | None, generated: int, seconds: float, ranks: int) -> str:
    """Images per second of all processes, and the time left; only what was generated is counted, not what was read."""
    rate = generated / seconds if seconds > 0 else 0.0
    if total is None or not rate:
        return f"{rate * ranks:.2f} images/s"
    left = timedelta(seconds=round((total - done) / rate))
    return f"{rate * ranks:.2f} images/s, {left} left"
