"""From a calibration to a choice: how many key steps a budget allows, and the best ones found for it."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from rich.console import Console

from fdplug.builtin.tuned import Choice, Noise
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.pipeline import propagate
from fdplug.policies import Paper, Schedule, Uniform
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.registry import Spec
from fdplug.tuning.bisection import fewest, most
from fdplug.tuning.calibration import Calibration
from fdplug.tuning.forecast_spans import Recording, best_spans
from fdplug.tuning.local_search import refine
from fdplug.tuning.noise import TAUS, tune_injector
from fdplug.tuning.optimal_spans import price, segment
from fdplug.tuning.span_search import Candidate, search, starts
from fdplug.tuning.trials import Trials

ROUNDS = 3  # runs by whose median a choice is timed
Found = TypeVar("Found", Calibration, Recording)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is asked of a choice of key steps: at most one of `keys`, `gflops`, `seconds` and `psnr`.

    Attributes:
        keys: how many key steps.
        others: further numbers of key steps to refine.
        gflops: at most so many GFLOPs per image.
        seconds: at most so many seconds per image, as measured.
        psnr: as few key steps as keep this, in dB, to the un-accelerated images.
        refine: runs to spend on moving key steps one by one.
        injector: what candidates are run with, `prior` or `none`; `tune` finds its settings.
        part: what is computed at key steps only.
    """

    keys: int | None = None
    others: tuple[int, ...] = ()
    gflops: float | None = None
    seconds: float | None = None
    psnr: float | None = None
    refine: int = 0
    injector: str = "prior"
    part: Spec = "encoder"

    @property
    def propagation(self) -> PropagationConfig:
        """The settings that candidates are run with, but for their key steps."""
        return PropagationConfig(part=self.part, injector="prior" if self.injector == "prior" else "none")


class Tuner(ABC, Generic[Found]):
    """Chooses a number of key steps, and improves on them by running candidates.

    Attributes:
        curve: the best choice for 1, 2, ..., T key steps so far.
    """

    def __init__(
        self,
        pipe: Any,
        captions: Sequence[Caption],
        generation: GenerationConfig,
        goal: Goal,
        found: Found,
        console: Console,
    ) -> None:
        self._pipe, self._captions, self._generation = pipe, captions, generation
        self._goal, self._found, self._console = goal, found, console
        self._trials: Trials | None = None
        self._timings = 0
        self._told: Callable[[int], None] = lambda runs: None
        self.curve = list(self._cuts())

    @abstractmethod
    def _cuts(self) -> Iterator[Choice]:
        """Yield what the calibration says is best for 1, 2, ..., T key steps."""

    @abstractmethod
    def _improved(self, choice: Choice) -> Choice:
        """Return what running candidates finds, as many as the goal allows; not worse than the choice."""

    def _gflops(self, keys: int) -> float:
        """Return the GFLOPs per image of so many key steps."""
        return self._found.gflops_with(keys) / len(self._captions)

    @property
    def runs(self) -> int:
        """How often the pipeline has run, calibration included."""
        return self._found.runs + self._timings + (self._trials.runs if self._trials else 0)

    @property
    def trials(self) -> Trials:
        """What runs candidates; made when it is first needed, because it takes a run."""
        if self._trials is None:
            self._trials = Trials(
                self._pipe,
                lambda: run(self._pipe, self._captions, self._generation).images,
                settings=self._goal.propagation,
                told=lambda runs: self._told(runs),
            )
        return self._trials

    def choose(self) -> int:
        """Return the number of key steps that the budget allows; the curve holds the best ones found for it."""
        goal = self._goal
        if goal.psnr is None:
            count = self._affordable()
            for one in (count, *goal.others) if goal.refine else ():
                self._refine(one)
            return count
        with self._watched("measuring"):
            count = fewest(len(self.curve), self._quality, goal.psnr)
        while goal.refine and count > 1:
            self._refine(count - 1)
            if self._quality(count - 1) < goal.psnr:
                break
            count -= 1
        return count

    def _affordable(self) -> int:
        goal = self._goal
        if goal.keys is not None:
            return goal.keys
        if goal.seconds is not None:
            with self._watched("timing"):
                return most(len(self.curve), self._seconds, goal.seconds)
        if goal.gflops is None:
            return min(len(self.curve), len(Paper().key_steps(Schedule(self._found.timesteps))))
        affordable = [len(choice.keys) for choice in self.curve if choice.gflops <= goal.gflops]
        if not affordable:
            least = self.curve[0].gflops
            raise ConfigError(f"--gflops is {goal.gflops:g}, but one key step takes {least:.4g} per image")
        return max(affordable)

    def _seconds(self, count: int) -> float:
        """Time the choice of `count` key steps, and note it in the curve: per image, the median of a few runs."""
        choice = self.curve[count - 1]
        with propagate(self._pipe, self.trials.settings(choice.keys, choice.shares)):
            taken = [run(self._pipe, self._captions, self._generation).seconds for _ in range(1 + ROUNDS)]
        self._timings += len(taken)
        seconds = statistics.median(taken[1:]) / len(self._captions)  # the first one warms up
        self.curve[count - 1] = replace(choice, seconds=seconds)
        return seconds

    def _quality(self, count: int) -> float:
        """Measure the choice of `count` key steps, and note it in the curve."""
        choice = self.curve[count - 1]
        measured = self.trials.of(choice.keys, choice.shares)
        psnr = measured.psnr if measured.psnr != float("inf") else None
        self.curve[count - 1] = replace(choice, measured=measured.error, psnr=psnr)
        return measured.psnr

    def _refine(self, count: int) -> None:
        """Improve the choice of `count` key steps by running candidates."""
        with self._watched(f"refining {count} key steps", self._goal.refine):
            self.curve[count - 1] = self._improved(self.curve[count - 1])
        self._quality(count)

    def noise(self, chosen: int) -> Noise | None:
        """Return the best prior noise for the choice, if that was asked for."""
        if self._goal.injector != "tune":
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


class PartTuner(Tuner[Calibration]):
    """Tunes a part whose features are reused within a span."""

    def _cuts(self) -> Iterator[Choice]:
        return (self._choice(cut.keys) for cut in segment(self._found.costs))

    def _choice(self, keys: Sequence[int]) -> Choice:
        return Choice(keys=tuple(keys), error=price(self._found.costs, keys), gflops=self._gflops(len(keys)))

    def _improved(self, choice: Choice) -> Choice:
        """Move key steps, beginning with the cut and uniform ones."""
        uniform = Uniform(count=len(choice.keys)).key_steps(Schedule(self._found.timesteps))
        starts = [choice.keys, uniform]
        best = refine(starts, len(self.curve), lambda keys: self.trials.of(keys).error, self._goal.refine)
        return self._choice(best.keys)


class TrunkTuner(Tuner[Recording]):
    """Tunes the trunk, whose features are forecast in every span by a share of its own."""

    def _cuts(self) -> Iterator[Choice]:
        for cut in best_spans(self._found):
            yield Choice(keys=cut.keys, error=cut.error, gflops=self._gflops(len(cut.keys)), shares=cut.shares)

    def _improved(self, choice: Choice) -> Choice:
        """Move key steps and change shares, so that the typical image changes least."""
        assert choice.shares is not None
        begin = list(starts(Candidate(choice.keys, choice.shares)))
        found = search(begin, len(self.curve), self._typical, self._goal.refine)
        return replace(choice, keys=found.best.keys, shares=found.best.shares)

    def _typical(self, one: Candidate) -> float:
        return self.trials.of(one.keys, one.shares).typical
