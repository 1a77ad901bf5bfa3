"""The training log: one JSON line per interval, a progress bar, and the loss curves as a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_NAME = "log.jsonl"
INTERVAL = 50


class StageLog:
    """Writes the mean of every figure each `INTERVAL` steps; lines beyond the step resumed from are dropped."""

    def __init__(self, out: Path, stage: str, steps: int, step: int, *, enabled: bool) -> None:
        self.path, self.stage, self.steps, self.start, self.enabled = out / LOG_NAME, stage, steps, step, enabled
        self.sums: dict[str, float] = {}
        self.count = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, disable=not enabled)

    def __enter__(self) -> StageLog:
        spent = forget(self.path, self.stage, self.start) if self.enabled else {}
        self.clock = time.perf_counter() - spent.get("wall_s", 0.0)
        self.cpu = time.process_time() - spent.get("cpu_s", 0.0)
        self.progress.start()
        self.task = self.progress.add_task(self.stage, total=self.steps, completed=self.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Take in the figures of one step; write a line when the interval or the stage is full."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.progress.update(self.task, completed=step)
        if step % INTERVAL == 0 or step == self.steps:
            self._line({"step": step, **{name: total / self.count for name, total in self.sums.items()}})
            self.sums, self.count = {}, 0

    def conclude(self, figures: dict[str, float]) -> None:
        """Write the figures of the finished stage."""
        self._line({"step": self.steps, "final": True, **figures})

    def _line(self, figures: dict[str, float]) -> None:
        if not self.enabled:
            return
        times = {"wall_s": time.perf_counter() - self.clock, "cpu_s": time.process_time() - self.cpu}
        record = {"stage": self.stage, **_rounded(figures), **_rounded(times)}
        with self.path.open("a") as stream:
            stream.write(json.dumps(record) + "\n")
        if not self.progress.console.is_terminal:
            print(json.dumps(record), flush=True)


def forget(path: Path, stage: str, step: int) -> dict[str, Any]:
    """Drop the lines of `stage` beyond `step`, which a resumed run will write again.

    Returns:
        The last line of `stage` that was kept, or an empty record.
    """
    kept = [line for line in read(path) if line["stage"] != stage or (line["step"] <= step and "final" not in line)]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    return next((line for line in reversed(kept) if line["stage"] == stage), {})


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, oldest first; none if there is no log yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in figures.items()}
