"""Generate the same captions with several variants, interleaved batch by batch in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fdplug.predict.comparison.batch_plan import Round, plan
from fdplug.predict.comparison.variant import baseline_of
from fdplug.predict.comparison.variant_run import Trial

if TYPE_CHECKING:
    from fdplug.metrics.score import Score
    from fdplug.predict.comparison.checkpoint import Checkpoint
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.generation.config import GenerationConfig
    from fdplug.predict.generation.generate import GenerationOutput


class Watcher(Protocol):
    """Who is told how the comparison goes on."""

    def begin(self, trial: Trial, number: int) -> None:
        """A variant starts a round."""

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""

    def finish(self, generated: bool) -> None:
        """A variant has generated a batch, or an earlier run had."""


class Comparison:
    """Variants, one pipeline, and the trials that measure them.

    Args:
        pipe: The pipeline; its scheduler is exchanged for each variant and put back at the end.
        variants: What to compare.
        generation: Guidance, size and seed of the run; `steps` is each variant's own.
        scores: Called once per variant for its scores.
    """

    def __init__(
        self,
        pipe: Any,
        variants: Sequence[Variant],
        generation: GenerationConfig,
        scores: Callable[[], list[Score]] = list,
    ) -> None:
        self.pipe = pipe
        self.trials = [Trial.of(variant, pipe, generation, scores()) for variant in variants]
        by_name = {trial.variant.name: trial for trial in self.trials}
        for trial in self.trials:
            baseline = baseline_of(trial.variant, list(variants))
            trial.baseline = None if baseline is None else by_name[baseline.name]

    def run(
        self, captions: Sequence[Caption], batch_size: int, watcher: Watcher, checkpoint: Checkpoint
    ) -> list[Trial]:
        """Generate everything that `checkpoint` has not; the order of the variants rotates from round to round."""
        scheduler = self.pipe.scheduler
        try:
            for number, one in enumerate(plan(captions, batch_size)):
                self._round(one, number, watcher, checkpoint)
        finally:
            self.pipe.scheduler = scheduler
        return self.trials

    def _round(self, one: Round, number: int, watcher: Watcher, checkpoint: Checkpoint) -> None:
        batches: dict[str, GenerationOutput] = {}
        for trial in self._rotated(number):
            watcher.begin(trial, number)
            earlier = checkpoint.read(trial, number, one)
            done = self._generate(trial, one, watcher) if earlier is None else earlier
            if earlier is None:
                checkpoint.write(trial, number, one, done)
            if one.keep:
                trial.keep(done, one.captions)
                batches[trial.variant.name] = done
            watcher.finish(generated=earlier is None)
        for trial in self.trials if one.keep else ():
            if trial.baseline is not None:
                trial.compare(batches[trial.variant.name], batches[trial.baseline.variant.name])

    def _generate(self, trial: Trial, one: Round, watcher: Watcher) -> GenerationOutput:
        generate = trial.warm_up if one.warm_up else trial.timed if one.timed else trial.untimed
        return generate(self.pipe, one.captions, watcher.step)

    def _rotated(self, number: int) -> Iterator[Trial]:
        start = number % len(self.trials)
        yield from self.trials[start:]
        yield from self.trials[:start]
