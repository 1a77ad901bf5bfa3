"""Generate the same captions with several variants, interleaved batch by batch in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fdplug.predict.comparison.variant import baseline_of
from fdplug.predict.comparison.variant_run import VariantRun

if TYPE_CHECKING:
    from fdplug.predict.comparison.batch_plan import Round
    from fdplug.predict.comparison.checkpoint import Checkpoint
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.generation.config import GenerationConfig
    from fdplug.predict.generation.generate import GenerationOutput
    from fdplug.predict.generation.loaded_stages import Stage
    from fdplug.scores.score_set import ScoreSet


class Watcher(Protocol):
    """Who is told how the comparison goes on."""

    def begin(self, variant_run: VariantRun, number: int) -> None:
        """A variant starts a round."""

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""

    def finish(self, generated: bool) -> None:
        """A variant has generated a batch, or an earlier run had."""


class Comparison:
    """Variants, one pipeline, and the runs that measure them.

    Args:
        pipe: the pipeline; its scheduler is exchanged for each variant and put back at the end.
        variants: what to compare.
        generation: guidance, size and seed of the run; `steps` is each variant's own.
        scores: called once per variant for its scores, begun.
        reference: the variant that all are compared with; None is each variant's own baseline.
        stages: of a cascade, the pipelines behind the first.
    """

    def __init__(
        self,
        pipe: Any,
        variants: Sequence[Variant],
        generation: GenerationConfig,
        scores: Callable[[], ScoreSet],
        reference: str | None = None,
        stages: Sequence[Stage] = (),
    ) -> None:
        self.pipe = pipe
        self.variant_runs = [VariantRun.of(variant, pipe, generation, scores(), stages) for variant in variants]
        by_name = {variant_run.variant.name: variant_run for variant_run in self.variant_runs}
        for variant_run in self.variant_runs:
            baseline = baseline_of(variant_run.variant, list(variants), reference)
            variant_run.baseline = None if baseline is None else by_name[baseline.name]

    def run(self, rounds: Sequence[Round], watcher: Watcher, checkpoint: Checkpoint) -> list[VariantRun]:
        """Generate everything that `checkpoint` has not; the order of the variants rotates from round to round."""
        scheduler = self.pipe.scheduler
        try:
            for number, one in enumerate(rounds):
                self._round(one, number, watcher, checkpoint)
        finally:
            self.pipe.scheduler = scheduler
        return self.variant_runs

    def _round(self, one: Round, number: int, watcher: Watcher, checkpoint: Checkpoint) -> None:
        batches: dict[str, GenerationOutput] = {}
        for variant_run in self._rotated(number):
            watcher.begin(variant_run, number)
            earlier = checkpoint.read(variant_run, number, one)
            done = self._generate(variant_run, one, watcher) if earlier is None else earlier
            if earlier is None:
                checkpoint.write(variant_run, number, one, done)
            if one.keep:
                variant_run.keep(done, one.captions)
                batches[variant_run.variant.name] = done
            watcher.finish(generated=earlier is None)
        for variant_run in self.variant_runs if one.keep else ():
            if variant_run.baseline is not None:
                other = batches[variant_run.baseline.variant.name]
                variant_run.compare(batches[variant_run.variant.name], other, one.captions)

    def _generate(self, variant_run: VariantRun, one: Round, watcher: Watcher) -> GenerationOutput:
        generate = variant_run.warm_up if one.warm_up else variant_run.timed if one.timed else variant_run.untimed
        return generate(self.pipe, one.captions, watcher.step)

    def _rotated(self, number: int) -> Iterator[VariantRun]:
        start = number % len(self.variant_runs)
        yield from self.variant_runs[start:]
        yield from self.variant_runs[:start]
