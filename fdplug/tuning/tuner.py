"""From a calibration to a choice: how many key steps a budget allows, and the best ones found for it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from fdplug.builtin.tuned import Choice, Noise
from fdplug.errors import ConfigError
from fdplug.policies import Paper, Schedule, Uniform
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.generate import Look, run
from fdplug.tuning.bisection import fewest
from fdplug.tuning.calibration import Calibration
from fdplug.tuning.local_search import refine
from fdplug.tuning.noise import TAUS, tune_injector
from fdplug.tuning.optimal_spans import price, segment
from fdplug.tuning.trials import Trials


class Tuner:
    """Chooses a number of key steps, and improves on them by running candidates.

    Attributes:
        curve: the best choice for 1, 2, ..., T key steps so far.
    """

    def __init__(
        self,
        pipe: Any,
        captions: Sequence[Caption],
        look: Look,
        part: Any,
        options: argparse.Namespace,
        found: Calibration,
        console: Console,
    ) -> None:
        self._pipe, self._captions, self._look, self._part = pipe, captions, look, part
        self._options, self._found, self._console = options, found, console
        self._trials: Trials | None = None
        self._told: Callable[[int], None] = lambda runs: None
        self.curve = [self._choice(cut.keys) for cut in segment(found.costs)]

    def _choice(self, keys: Sequence[int]) -> Choice:
        error = price(self._found.costs, keys)
        return Choice(keys=tuple(keys), error=error, gflops=self._found.gflops_with(len(keys)) / len(self._captions))

    @property
    def runs(self) -> int:
        """How often the pipeline has run, calibration included."""
        return self._found.runs + (self._trials.runs if self._trials else 0)

    @property
    def trials(self) -> Trials:
        """What runs candidates; made when it is first needed, because it takes a run."""
        if self._trials is None:
            injector = "prior" if self._options.injector == "prior" else "none"
            self._trials = Trials(
                self._pipe,
                lambda: run(self._pipe, self._captions, self._look).images,
                settings={"part": self._part, "injector": injector},
                told=lambda runs: self._told(runs),
            )
        return self._trials

    def choose(self) -> int:
        """Return the number of key steps that the budget allows; the curve holds the best ones found for it."""
        options = self._options
        if options.psnr is None:
            count = self._affordable()
            if options.refine:
                self._refine(count)
            return count
        with self._watched("measuring"):
            count = fewest(len(self.curve), self._quality, options.psnr)
        while options.refine and count > 1:
            self._refine(count - 1)
            if self._quality(count - 1) < options.psnr:
                break
            count -= 1
        return count

    def _affordable(self) -> int:
        options = self._options
        if options.keys is not None:
            return options.keys
        if options.gflops is None:
            return len(Paper().key_steps(Schedule(self._found.timesteps)))
        affordable = [len(choice.keys) for choice in self.curve if choice.gflops <= options.gflops]
        if not affordable:
            least = self.curve[0].gflops
            raise ConfigError(f"--gflops is {options.gflops:g}, but one key step takes {least:.4g} per image.")
        return max(affordable)

    def _quality(self, count: int) -> float:
        """Measure the choice of `count` key steps, and note it in the curve."""
        choice = self.curve[count - 1]
        measured = self.trials.of(choice.keys)
        psnr = measured.psnr if measured.psnr != float("inf") else None
        self.curve[count - 1] = replace(choice, measured=measured.error, psnr=psnr)
        return measured.psnr

    def _refine(self, count: int) -> None:
        """Improve the choice of `count` key steps by running candidates, beginning with the cut and uniform ones."""
        uniform = Uniform(count=count).key_steps(Schedule(self._found.timesteps))
        starts = [self.curve[count - 1].keys, uniform]
        with self._watched(f"refining {count} key steps", self._options.refine):
            best = refine(starts, len(self.curve), lambda keys: self.trials.of(keys).error, self._options.refine)
        self.curve[count - 1] = self._choice(best.keys)
        self._quality(count)

    def noise(self, chosen: int) -> Noise | None:
        """Return the best prior noise for the choice, if that was asked for."""
        if self._options.injector != "tune":
            return None
        with self._watched("tuning the noise", len(TAUS) + 2):
            best = tune_injector(self.trials, self.curve[chosen - 1].keys)
        return Noise(alpha=best.alpha, tau=best.tau, error=best.error, without=best.without)

    @contextmanager
    def _watched(self, title: str, total: int | None = None) -> Iterator[None]:
        """Show a bar that counts runs."""
        before = self._trials.runs if self._trials else 0
        with bars(self._console) as progress:
            task = progress.add_task(title, total=total)
            self._told = lambda runs: progress.update(task, completed=runs - before)
            try:
                yield
            finally:
                self._told = lambda runs: None
