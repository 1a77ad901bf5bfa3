"""One variant while it is being compared: what it generated, what it scored, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.lookup import find_families
from fdplug.predict.generation.batch_size import ShrinkingBatch
from fdplug.predict.generation.cascade import passes, run_all
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import GenerationOutput, StageOutput, check_steps, per_image
from fdplug.profiling.peak_memory import PeakMemory
from fdplug.profiling.spread import Spread, ratios
from fdplug.scores.base import Batch
from fdplug.scores.score_set import ScoreSet, without_infinity

if TYPE_CHECKING:
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.generation.loaded_stages import Stage


@dataclass(frozen=True)
class Timing:
    """One timed round, per image."""

    seconds: float
    denoiser_seconds: float | None
    peak_memory_mb: float | None


@dataclass
class VariantRun:
    """A variant with its scheduler, its scores and its measurements so far.

    Attributes:
        scores: of its images by themselves.
        pairs: of its images beside those of its baseline.
    """

    variant: Variant
    generation: GenerationConfig
    scheduler: Any
    scores: ScoreSet
    pairs: ScoreSet
    baseline: VariantRun | None = None
    timings: list[Timing] = field(default_factory=list)
    key_steps: tuple[int, ...] = ()
    passes: list[list[int]] = field(default_factory=list)
    gflops: dict[str, float] = field(default_factory=dict)
    denoiser_calls: int = 0
    num_images: int = 0
    broken: int = 0
    paired: int = 0
    warm: bool = False
    batch: ShrinkingBatch = field(default_factory=ShrinkingBatch)
    stages: tuple[Stage, ...] = ()
    parts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(
        cls, variant: Variant, pipe: Any, generation: GenerationConfig, scores: ScoreSet, stages: Sequence[Stage] = ()
    ) -> VariantRun:
        """Return a run on `pipe` and the pipelines behind it, with schedulers of its own."""
        scheduler = registry.build("sampler", variant.sampler).fit(pipe.scheduler)
        check_steps(scheduler, variant.generation(generation).resolved_steps)
        own = tuple(stage.with_settings(one) for stage, one in zip(stages, variant.then or (), strict=True))
        return cls(variant, variant.generation(generation), scheduler, *scores.apart(), stages=own)

    def warm_up(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> GenerationOutput:
        """Generate a batch that is not timed, and count what ran."""
        counted = self.variant.propagation or PropagationConfig.unaccelerated()
        done = self._run(pipe, captions, counted, on_step, count=True)
        if done.stages:
            self.key_steps, self.passes = _in_a_row(done.stages)
            self.parts = [_part(stage) for stage in done.stages]
        else:
            self.key_steps = tuple(done.ledger.key_steps)
            self.passes = [list(one) for one in passes(done.ledger, [one.component for one, _ in find_families(pipe)])]
        self.gflops = dict(done.counted)
        return done

    def timed(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> GenerationOutput:
        """Generate a batch and note its costs per image; warm up before the first batch of this process."""
        if not self.warm:
            self.untimed(pipe, captions, on_step)
        with PeakMemory(pipe.device) as memory:
            done = self._run(pipe, captions, self.variant.propagation, on_step)
        count = len(captions)
        self.timings.append(Timing(done.seconds / count, per_image(done.denoiser_seconds, count), memory.megabytes))
        return done

    def untimed(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> GenerationOutput:
        """Generate a batch and nothing else."""
        return self._run(pipe, captions, self.variant.propagation, on_step)

    def keep(self, done: GenerationOutput, captions: Sequence[Caption]) -> None:
        """Take images into the scores; those without numbers are counted only."""
        good = [caption for caption, finite in zip(captions, done.finite, strict=True) if finite]
        self.num_images += len(good)
        self.broken += len(captions) - len(good)
        if good:
            self.scores.update(Batch(done.images[done.finite], good))

    def facts(self, timed: bool) -> dict[str, Any]:
        """What was found out besides images, ready for json; with the last timing if it is of this round."""
        return {
            "key_steps": list(self.key_steps),
            "passes": self.passes,
            "gflops": self.gflops,
            "denoiser_calls": self.denoiser_calls,
            "timing": vars(self.timings[-1]) if timed else None,
            "stages": self.parts,
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take what `facts` returned in an earlier run."""
        self.key_steps, self.passes = tuple(facts["key_steps"]), facts["passes"]
        self.gflops, self.denoiser_calls = dict(facts["gflops"]), facts["denoiser_calls"]
        self.parts = list(facts.get("stages") or [])
        if facts["timing"] is not None:
            self.timings.append(Timing(**facts["timing"]))

    def _run(
        self, pipe: Any, captions: Sequence[Caption], propagation: Any, on_step: Any, count: bool = False
    ) -> GenerationOutput:
        pipe.scheduler = self.scheduler
        done = self.batch.generate(
            captions, lambda some: run_all(pipe, self.stages, some, self.generation, propagation, on_step, count)
        )
        schedulers = [self.scheduler, *(stage.scheduler for stage in self.stages)]
        self.denoiser_calls = sum(len(scheduler.timesteps) for scheduler in schedulers)
        self.warm = True
        return done

    def times(self, quantity: str) -> list[float]:
        """Return a quantity of every timed round."""
        return [getattr(timing, quantity) for timing in self.timings]

    def speedup(self, quantity: str) -> Spread:
        """Return how many times as fast as the baseline it was, round by round: both were timed in the same ones."""
        own = self.times(quantity)
        return ratios(own if self.baseline is None else self.baseline.times(quantity), own)

    def row(self) -> dict[str, Any]:
        """Everything measured, ready for json."""
        memory = [timing.peak_memory_mb for timing in self.timings if timing.peak_memory_mb is not None]
        row: dict[str, Any] = {
            **self._what(),
            **(self.scores.compute() if self.num_images else _none(self.scores)),
            **self._differences(),
            "gflops_per_image": self.gflops.get("full"),
            "gflops_per_image_paper_convention": self.gflops.get("paper"),
            **Spread.of(self.times("denoiser_seconds")).row("denoiser_seconds_per_image"),
            **Spread.of(self.times("seconds")).row("seconds_per_image"),
            "peak_memory_mb": max(memory, default=None),
            **self.speedup("seconds").row("speedup"),
            **self.speedup("denoiser_seconds").row("denoiser_speedup"),
            "rounds": [vars(timing) for timing in self.timings],
        }
        return row | self.scores.combine(row)

    def _what(self) -> dict[str, Any]:
        settings = (self.variant.propagation, *(stage.config.propagation for stage in self.stages))
        propagation = next((one for one in settings if one is not None), None)
        return {
            "name": self.variant.name,
            "sampler": self.variant.sampler_name,
            "steps": sum(self.variant.all_steps),
            "guidance": self.generation.guidance,
            "propagate": None if propagation is None else propagation.described(),
            **({"stages": self._stages()} if self.stages else {}),
            "num_key_steps": len(self.key_steps),
            "key_steps": list(self.key_steps),
            "passes": self.passes,
            "denoiser_calls": self.denoiser_calls,
            "images": self.num_images,
            "images_not_a_number": self.broken,
            "compared_with": None if self.baseline is None else self.baseline.variant.name,
        }

    def _stages(self) -> list[dict[str, Any]]:
        """What each pipeline was set to, and what it did."""
        settings = [
            self.generation.changed(then=None).described(),
            *(stage.config.described() for stage in self.stages),
        ]
        parts = self.parts or [{} for _ in settings]
        return [{**part, "settings": one} for part, one in zip(parts, settings, strict=True)]

    def compare(self, done: GenerationOutput, baseline: GenerationOutput, captions: Sequence[Caption]) -> None:
        """Take pairs of images, this variant's and its baseline's; both must hold numbers."""
        both = done.finite & baseline.finite
        if both.any():
            self.paired += int(both.sum())
            known = [caption for caption, good in zip(captions, both, strict=True) if good]
            self.pairs.update(Batch(done.images[both], known, baseline.images[both]))

    def _differences(self) -> dict[str, Any]:
        if self.baseline is None or not self.paired:
            return {**_none(self.pairs), "identical": None}
        return {"identical": False, **without_infinity(self.pairs.compute())}


def _none(scores: ScoreSet) -> dict[str, None]:
    """Return the numbers of scores that had no image."""
    return {number.key: None for number in scores.numbers}


def _in_a_row(stages: Sequence[StageOutput]) -> tuple[tuple[int, ...], list[list[int]]]:
    """Return key steps and passes of all stages, each counted on from the last step of the one before."""
    keys: list[int] = []
    passes: list[list[int]] = []
    before = 0
    for stage in stages:
        keys += [before + step for step in stage.key_steps or ()]
        passes += [[before + first, count] for first, count in stage.passes]
        before += stage.steps
    return tuple(keys), passes


def _part(stage: StageOutput) -> dict[str, Any]:
    """Return what a stage did, per image, ready for json."""
    return {
        "pipeline": stage.name,
        "steps": stage.steps,
        "key_steps": None if stage.key_steps is None else len(stage.key_steps),
        "gflops_per_image": stage.counted.get("full"),
        "gflops_per_image_paper_convention": stage.counted.get("paper"),
    }
