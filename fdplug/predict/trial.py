"""One variant while it is being compared: what it drew, what it scored, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.ledger import WHOLE
from fdplug.pipeline import find_family
from fdplug.predict.fidelity import Fidelity
from fdplug.predict.generation import Look, Run, run
from fdplug.predict.memory import PeakMemory
from fdplug.predict.settings import UNACCELERATED

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.ledger import Ledger
    from fdplug.predict.captions import Caption
    from fdplug.predict.scores import Score
    from fdplug.predict.variant import Variant


@dataclass(frozen=True)
class Timing:
    """One timed round, per image."""

    seconds: float
    denoiser_seconds: float
    peak_memory_mb: float | None


@dataclass
class Trial:
    """A variant with its scheduler, its scores and its measurements so far."""

    variant: Variant
    look: Look
    scheduler: Any
    scores: list[Score]
    baseline: Trial | None = None
    fidelity: Fidelity = field(default_factory=Fidelity)
    timings: list[Timing] = field(default_factory=list)
    key_steps: tuple[int, ...] = ()
    passes: list[list[int]] = field(default_factory=list)
    gflops: dict[str, float] = field(default_factory=dict)
    num_images: int = 0

    @classmethod
    def of(cls, variant: Variant, pipe: Any, look: Look, scores: list[Score]) -> Trial:
        """A trial on `pipe`, with a scheduler of its own."""
        scheduler = registry.build("sampler", variant.sampler).build(pipe.scheduler.config)
        guidance = look.guidance if variant.guidance is None else variant.guidance
        own = Look(steps=variant.resolved_steps, guidance=guidance, size=look.size, seed=look.seed)
        return cls(variant, own, scheduler, scores)

    def warm_up(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> Tensor:
        """Draw a batch that is not timed, and count what ran."""
        counted = UNACCELERATED if self.variant.propagate is None else self.variant.propagate
        done = self._run(pipe, captions, counted, on_step)
        self.key_steps = tuple(done.ledger.key_steps)
        self.passes = _passes(done.ledger, find_family(pipe)[0].component)
        for convention in ("full", "paper"):
            self.gflops[convention] = done.ledger.gflops(convention) / len(captions)
        return done.images

    def timed(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> Tensor:
        """Draw a batch and note its costs per image."""
        with PeakMemory(pipe.device) as memory:
            done = self._run(pipe, captions, self.variant.propagate, on_step)
        count = len(captions)
        self.timings.append(Timing(done.seconds / count, done.denoiser_seconds / count, memory.megabytes))
        return done.images

    def untimed(self, pipe: Any, captions: Sequence[Caption], on_step: Callable[[int, int], None]) -> Tensor:
        """Draw a batch and nothing else."""
        return self._run(pipe, captions, self.variant.propagate, on_step).images

    def keep(self, images: Tensor, captions: Sequence[Caption]) -> None:
        """Take images into the scores."""
        self.num_images += len(captions)
        for score in self.scores:
            score.update(images, captions)

    def _run(self, pipe: Any, captions: Sequence[Caption], propagate: Any, on_step: Any) -> Run:
        pipe.scheduler = self.scheduler
        return run(pipe, captions, self.look, propagate, on_step)

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
            **{key: value for score in self.scores for key, value in score.compute().items()},
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
        propagate = self.variant.propagate
        return {
            "name": self.variant.name,
            "sampler": self.variant.sampler_name,
            "steps": self.look.steps,
            "guidance": self.look.guidance,
            "propagate": None if propagate is None else {key: _plain(value) for key, value in propagate.items()},
            "num_key_steps": len(self.key_steps),
            "key_steps": list(self.key_steps),
            "passes": self.passes,
            "denoiser_calls": self.scheduler_calls,
            "images": self.num_images,
            "compared_with": None if self.baseline is None else self.baseline.variant.name,
        }

    @property
    def scheduler_calls(self) -> int:
        """Entries of the scheduler's timesteps: more than the steps for Heun and PNDM."""
        return len(self.scheduler.timesteps)

    def _fidelity(self) -> dict[str, Any]:
        if self.baseline is None:
            return {"psnr": None, "ssim": None, "identical": None}
        values = self.fidelity.compute()
        identical = values["psnr"] == float("inf")
        return {**values, "psnr": None if identical else values["psnr"], "identical": identical}


def _passes(ledger: Ledger, denoiser: str) -> list[list[int]]:
    """For every pass of the denoiser the first step that it answered, and how many."""
    whole = [entry for entry in ledger.entries if entry.module == WHOLE and entry.network == denoiser]
    return [[entry.steps[0], len(entry.steps)] for entry in whole]


def _plain(value: Any) -> Any:
    """A setting as json can hold it; a ready object by its representation."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)
