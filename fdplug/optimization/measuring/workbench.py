"""Runs candidates on captions and measures them; leaves the pipeline as it was after every run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.errors import FdplugError, FdplugWarning, PipelineError
from fdplug.errors.wording import one_line
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.outcome import Outcome
from fdplug.optimization.measuring.quality import Scores, psnr
from fdplug.optimization.measuring.records import Records
from fdplug.predict.data.seeds import generators
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import Call, GenerationOutput, call_pipeline, check_steps, run

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.data.captions import Caption


FADING = 0.9
"""What an earlier batch counts beside the next one, where it is asked how slow the machine is."""


class CandidateError(FdplugError):
    """A candidate that cannot be run."""


class TimeUp(FdplugError):
    """What would not be done in time is not begun."""


class Workbench:
    """Runs candidates and keeps what they give.

    Args:
        pipe: the pipeline.
        base: guidance, size and seed.
        reference: what the user has.
        scores: scores of images, besides PSNR.
        records: where measurements are kept.
        batch_size: images in one call.
        call: calls the pipeline; None as `fdplug generate` does.

    Attributes:
        images: how many were made.
        is_called: whether the pipeline is called by a function of the user's.
        fits: whether so many images of a candidate can be made in time.
        slowness: by how much longer everything takes by the clock on the wall than images take by themselves.
    """

    def __init__(
        self,
        pipe: Any,
        base: GenerationConfig,
        reference: Candidate,
        scores: Scores,
        records: Records,
        batch_size: int = 4,
        call: Call | None = None,
    ) -> None:
        self.pipe, self.base, self.reference = pipe, base, reference
        self.scores, self.records, self.batch_size = scores, records, batch_size
        self.on_step: Callable[[int, int], None] | None = None
        self.images = 0
        self.fits: Callable[[Candidate, int], bool] = lambda candidate, images: True
        self._spent = [
            0.0,
            0.0,
        ]  # seconds by the clock on the wall, and of the images alone
        self.is_called = call is not None
        self._call = call
        self._own: dict[int, Tensor] = {}
        self._kept: dict[tuple[str, int], Tensor] = {}
        self._wanted: frozenset[int] = frozenset()

    def outcome(self, candidate: Candidate, captions: Sequence[Caption]) -> Outcome:
        """Return what a candidate gives on captions; only what is not known yet is run.

        Raises:
            CandidateError: it cannot be run.
            TimeUp: it cannot be run in time.
        """
        if candidate.key in self.records.failures:
            raise CandidateError(self.records.failures[candidate.key])
        wanted = set(self.records.missing(candidate, [one.image_id for one in captions]))
        self.begin(candidate, len(wanted))
        for batch in self.batches([one for one in captions if one.image_id in wanted]):
            self._measure(candidate, batch)
        return self.records.outcome(candidate, [one.image_id for one in captions])

    def begin(self, candidate: Candidate, images: int) -> None:
        """Refuse to begin what cannot be done in time.

        Raises:
            TimeUp: so many images of the candidate cannot.
        """
        if images and not self.fits(candidate, images):
            raise TimeUp("no time is left for it")

    @property
    def slowness(self) -> float:
        """By how much longer everything takes by the clock on the wall than images take by themselves."""
        wall, own = self._spent
        return max(1.0, wall / own) if own else 1.0

    def batches(self, captions: Sequence[Caption]) -> Iterator[Sequence[Caption]]:
        """Yield captions in calls of the pipeline."""
        for start in range(0, len(captions), self.batch_size):
            yield captions[start : start + self.batch_size]

    def timed(self, candidate: Candidate, captions: Sequence[Caption]) -> tuple[float, float]:
        """Return the seconds of a run and its GFLOPs, an image."""
        done = self._generate(candidate, captions, count=True)
        return done.seconds / len(captions), done.counted["full"]

    def share_of_steps(self, captions: Sequence[Caption]) -> float:
        """Return the share of its steps that a run takes: image-to-image begins in the middle."""
        done = self._generate(self.reference, captions, count=True)
        return len(done.ledger.steps) / done.ledger.num_steps

    @contextmanager
    def sampling(self, candidate: Candidate) -> Iterator[Callable[[Sequence[Caption]], GenerationOutput]]:
        """Give the pipeline a candidate's sampler for a while; yields what runs it on captions, without propagation."""
        with put_back(self.pipe):
            self.pipe.scheduler = registry.build("sampler", candidate.sampler).fit(self.pipe.scheduler)
            check_steps(self.pipe.scheduler, candidate.steps)
            generation = candidate.generation(self.base)
            yield lambda captions: run(self.pipe, captions, generation, call=self._call)

    def keep(self, captions: Sequence[Caption]) -> None:
        """Keep the images of these captions from now on, to show them."""
        self._wanted = frozenset(one.image_id for one in captions)

    def pictures(self, candidate: Candidate, captions: Sequence[Caption]) -> list[Tensor]:
        """Return images (3, H, W), uint8; those that were not kept, as after a resumed start, are made again."""
        self._wanted |= {one.image_id for one in captions}
        missing = [one for one in captions if (candidate.key, one.image_id) not in self._kept]
        for batch in self.batches(missing):
            self._note(candidate, batch, self._generate(candidate, batch).images)
        return [self._kept[candidate.key, one.image_id] for one in captions]

    def _note(self, candidate: Candidate, captions: Sequence[Caption], images: Tensor) -> None:
        for one, image in zip(captions, images, strict=True):
            if one.image_id in self._wanted:
                self._kept[candidate.key, one.image_id] = image

    def _measure(self, candidate: Candidate, captions: Sequence[Caption]) -> None:
        own = candidate.key == self.reference.key
        reference = None if own else self._reference_images(captions)
        start = time.monotonic()
        output = self._tried(candidate, captions)
        self._note(candidate, captions, output.images)
        if own:
            self._own |= {one.image_id: image for one, image in zip(captions, output.images, strict=True)}
        values = {"psnr": psnr(output.images, output.images if reference is None else reference)}
        values |= self.scores.of(output.images, captions)
        plain = {name: [float(value) for value in numbers] for name, numbers in values.items()}
        self.records.keep(candidate, [one.image_id for one in captions], plain, output.seconds / len(captions))
        self._spent = [FADING * self._spent[0] + time.monotonic() - start, FADING * self._spent[1] + output.seconds]

    def _tried(self, candidate: Candidate, captions: Sequence[Caption]) -> GenerationOutput:
        """Run a candidate; that it cannot be run is kept and said, but for the reference, which must."""
        try:
            return self._generate(candidate, captions)
        except Exception as error:  # samplers and plugins raise what they like
            if candidate.key == self.reference.key:
                raise
            reason = f"{type(error).__name__}: {one_line(error, 160)}"
            self.records.fail(candidate, reason)
            raise CandidateError(reason) from error

    def _reference_images(self, captions: Sequence[Caption]) -> Tensor:
        """Return the images of the reference: measured where they were not, and made again after a resumed start."""
        unknown = self.records.missing(self.reference, [one.image_id for one in captions])
        if unknown:
            self._measure(self.reference, [one for one in captions if one.image_id in unknown])
        missing = [one for one in captions if one.image_id not in self._own]
        if missing:
            for one, image in zip(missing, self._generate(self.reference, missing).images, strict=True):
                self._own[one.image_id] = image
        return torch.stack([self._own[one.image_id] for one in captions])

    def _generate(self, candidate: Candidate, captions: Sequence[Caption], count: bool = False) -> GenerationOutput:
        settings = candidate.config
        if count and settings is None:
            settings = PropagationConfig.unaccelerated()
        with put_back(self.pipe), warnings.catch_warnings():
            warnings.simplefilter("ignore", FdplugWarning)
            self.pipe.scheduler = registry.build("sampler", candidate.sampler).fit(self.pipe.scheduler)
            check_steps(self.pipe.scheduler, candidate.steps)
            stopwatch = Stopwatch(self.pipe, self._call)
            generation = candidate.generation(self.base)
            done = run(self.pipe, captions, generation, settings, self.on_step, count, stopwatch.call)
        self.images += len(captions)
        return done if stopwatch.seconds is None else replace(done, seconds=stopwatch.seconds)


@contextmanager
def put_back(pipe: Any) -> Iterator[None]:
    """Put back everything that a pipeline holds: its scheduler, and what it notes of its last call."""
    held = dict(vars(pipe))
    try:
        yield
    finally:
        for name in vars(pipe).keys() - held.keys():
            del vars(pipe)[name]
        vars(pipe).update(held)


class Stopwatch:
    """Takes the time of a pipeline call: on one thread of a CPU that of the process, which other work does not change.

    Args:
        pipe: the pipeline.
        call: calls it.

    Attributes:
        seconds: of the call; None where the clock on the wall has to do.
    """

    def __init__(self, pipe: Any, call: Call | None) -> None:
        self.seconds: float | None = None
        self._call = call
        self._alone = torch.device(pipe.device).type == "cpu" and torch.get_num_threads() == 1

    def call(self, pipe: Any, captions: Sequence[Caption], generation: GenerationConfig) -> Tensor:
        """Call the pipeline."""
        start = time.process_time()
        images = (self._call or call_pipeline)(pipe, captions, generation)
        if self._alone:
            self.seconds = time.process_time() - start
        return images


ROUNDING = 0.01
"""Images may be so far outside of 0 to 1: they are clipped."""
_WANTED = (
    "(N, 3, H, W) or (N, H, W, 3) in [0, 1], or PIL images, as pipelines return with output_type='pt', 'np' or 'pil'"
)


def adapted(call: Callable[..., Any]) -> Call:
    """Return a user's own call of a pipeline in the form that `run` takes.

    Args:
        call: `call(pipe, prompts, generator=[...], **arguments)`; returns images as a tensor (N, 3, H, W) or an array
            (N, H, W, 3) in [0, 1], a list of PIL images, or the pipeline's output.
    """

    def calling(pipe: Any, captions: Sequence[Caption], generation: GenerationConfig) -> Tensor:
        seeds = generators(one.noise_seed(generation.seed) for one in captions)
        given = call(pipe, [one.text for one in captions], generator=seeds, **generation.call_options())
        images = _as_tensor(getattr(given, "images", given))
        if images.ndim != 4 or len(images) != len(captions) or images.shape[1] != 3:
            raise PipelineError(
                f"the call returned images of shape {tuple(images.shape)} for {len(captions)} prompts; one image each "
                f"is needed, {_WANTED}"
            )
        low, high = float(images.min()), float(images.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise PipelineError(f"the call returned images from {low:.3g} to {high:.3g}; give {_WANTED}")
        return images

    return calling


def _as_tensor(images: Any) -> Tensor:
    if isinstance(images, list | tuple) and all(hasattr(one, "convert") for one in images):
        images = np.stack([np.asarray(one.convert("RGB")) for one in images])
    tensor = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.asarray(images))
    tensor = tensor if tensor.ndim != 4 or isinstance(images, torch.Tensor) else tensor.permute(0, 3, 1, 2)
    return tensor if tensor.is_floating_point() else tensor / 255
