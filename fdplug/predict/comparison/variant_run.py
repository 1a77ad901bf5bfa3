"""One variant while it is being compared: what it generated, what it scored, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.metrics.fidelity import Fidelity
from fdplug.pipeline import find_family
from fdplug.predict.generation.batch_size import Room
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import GenerationOutput, check_steps, per_image, run
from fdplug.profiling.ledger import WHOLE
from fdplug.profiling.peak_memory import PeakMemory

if TYPE_CHECKING:
    from fdplug.metrics.score import Score
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.data.captions import Caption
    from fdplug.profiling.ledger import Ledger


@dataclass(frozen=True)
class Timing:
    """One timed round, per image."""

    seconds: float
    denoiser_seconds: float | None
    peak_memory_mb: float | None


@dataclass
class VariantRun:
    """A variant with its scheduler, its scores and its measurements so far."""

    variant: Variant
    generation: GenerationConfig
    scheduler: Any
    scores: list[Score]
    baseline: VariantRun | None = None
    fidelity: Fidelity = field(default_factory=Fidelity)
    timings: list[Timing] = field(default_factory=list)
    key_steps: tuple[int, ...] = ()
    passes: list[list[int]] = field(default_factory=list)
    gflops: dict[str, float] = field(default_factory=dict)
    denoiser_calls: int = 0
    num_images: int = 0
    broken: int = 0
    pairs: int = 0
    warm: bool = False
    room: Room = field(default_factory=Room)

    @classmethod
    def of(cls, variant: Variant, pipe: Any, generation: GenerationConfig, scores: list[Score]) -> VariantRun:
        """Return a run on `pipe`, with a scheduler of its own."""
        scheduler = registry.build("sampler", variant.sampler).fit(pipe.scheduler)
        check_steps(scheduler, variant.generation(generation).resolved_steps)
        return cls(variant, variant.generation(generation), scheduler, scores)

    def warm_up(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> GenerationOutput:
        """Generate a batch that is not timed, and count what ran."""
        counted = self.variant.propagation or PropagationConfig.unaccelerated()
        done = self._run(pipe, captions, counted, on_step, count=True)
        self.key_steps = tuple(done.ledger.key_steps)
        self.passes = _passes(done.ledger, find_family(pipe)[0].component)
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
        whole = [caption for caption, good in zip(captions, done.whole, strict=True) if good]
        self.num_images += len(whole)
        self.broken += len(captions) - len(whole)
        for score in self.scores if whole else ():
            score.update(done.images[done.whole], whole)

    def facts(self, timed: bool) -> dict[str, Any]:
        """What was found out besides images, ready for json; with the last timing if it is of this round."""
        return {
            "key_steps": list(self.key_steps),
            "passes": self.passes,
            "gflops": self.gflops,
            "denoiser_calls": self.denoiser_calls,
            "timing": vars(self.timings[-1]) if timed else None,
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take what `facts` returned in an earlier run."""
        self.key_steps, self.passes = tuple(facts["key_steps"]), facts["passes"]
        self.gflops, self.denoiser_calls = dict(facts["gflops"]), facts["denoiser_calls"]
        if facts["timing"] is not None:
            self.timings.append(Timing(**facts["timing"]))

    def _run(
        self, pipe: Any, captions: Sequence[Caption], propagation: Any, on_step: Any, count: bool = False
    ) -> GenerationOutput:
        pipe.scheduler = self.scheduler
        done = self.room.draw(captions, lambda some: run(pipe, some, self.generation, propagation, on_step, count))
        self.denoiser_calls = len(self.scheduler.timesteps)
        self.warm = True
        return done

    def fastest(self, quantity: str) -> float:
        """The least of a quantity over the timed rounds: on a busy machine everything else is noise on top of it."""
        return min(getattr(timing, quantity) for timing in self.timings)

    def speedup(self, quantity: str) -> float:
        """The baseline's fastest over the own; both were timed in the same rounds."""
        return 1.0 if self.baseline is None else self.baseline.fastest(quantity) / self.fastest(quantity)

    def row(self) -> dict[str, Any]:
        """Everything measured, ready for json."""
        memory = [timing.peak_memory_mb for timing in self.timings if timing.peak_memory_mb is not None]
        return {
            **self._what(),
            **{key: value for score in self.scores for key, value in self._score(score).items()},
            **self._fidelity(),
            "gflops_per_image": self.gflops["full"],
            "gflops_per_image_paper_convention": self.gflops["paper"],
            "denoiser_seconds_per_image": self.fastest("denoiser_seconds"),
            "seconds_per_image": self.fastest("seconds"),
            "peak_memory_mb": max(memory, default=None),
            "speedup": self.speedup("seconds"),
            "denoiser_speedup": self.speedup("denoiser_seconds"),
            "rounds": [vars(timing) for timing in self.timings],
        }

    def _what(self) -> dict[str, Any]:
        propagation = self.variant.propagation
        return {
            "name": self.variant.name,
            "sampler": self.variant.sampler_name,
            "steps": self.generation.resolved_steps,
            "guidance": self.generation.guidance,
            "propagate": None if propagation is None else propagation.described(),
            "num_key_steps": len(self.key_steps),
            "key_steps": list(self.key_steps),
            "passes": self.passes,
            "denoiser_calls": self.denoiser_calls,
            "images": self.num_images,
            "images_not_a_number": self.broken,
            "compared_with": None if self.baseline is None else self.baseline.variant.name,
        }

    def _score(self, score: Score) -> dict[str, float | None]:
        return dict(score.compute()) if self.num_images else dict.fromkeys(score.labels)

    def compare(self, done: GenerationOutput, baseline: GenerationOutput) -> None:
        """Take pairs of images, this variant's and its baseline's; both must hold numbers."""
        both = done.whole & baseline.whole
        if both.any():
            self.pairs += int(both.sum())
            self.fidelity.update(done.images[both], baseline.images[both])

    def _fidelity(self) -> dict[str, Any]:
        if self.baseline is None or not self.pairs:
            return {"psnr": None, "ssim": None, "identical": None}
        values = self.fidelity.compute()
        identical = values["psnr"] == float("inf")
        return {**values, "psnr": None if identical else values["psnr"], "identical": identical}


def _passes(ledger: Ledger, denoiser: str) -> list[list[int]]:
    """For every pass of the denoiser the first step that it answered, and how many."""
    whole = [entry for entry in ledger.entries if entry.module == WHOLE and entry.network == denoiser]
    return [[entry.steps[0], len(entry.steps)] for entry in whole]
