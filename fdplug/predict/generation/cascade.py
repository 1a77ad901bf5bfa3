"""Pipelines in a row: each goes on with what the one before it made, and costs add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from fdplug.config import PropagationConfig
from fdplug.lookup import find_denoisers, find_families
from fdplug.predict.data.seeds import stage_seed
from fdplug.predict.generation.conditioning import conditioning, going_on
from fdplug.predict.generation.generate import GenerationOutput, StageOutput, called, run, total
from fdplug.predict.generation.loaded_stages import Stage
from fdplug.predict.generation.media import parameters
from fdplug.predict.generation.stage import LATENTS
from fdplug.profiling.ledger import WHOLE, Ledger

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.data.captions import Caption
    from fdplug.predict.generation.config import GenerationConfig
    from fdplug.predict.generation.denoising import Denoising

OnStep = Callable[[int, int], None]


def run_all(
    pipe: Any,
    stages: Sequence[Stage],
    captions: Sequence[Caption],
    generation: GenerationConfig,
    propagation: Any = None,
    on_step: OnStep | None = None,
    count: bool = False,
) -> GenerationOutput:
    """Generate the images of captions by one call of each pipeline; by `run` where there is one pipeline alone.

    Every stage draws noise of its own: its seeds are made of those of the images and of its number.

    Args:
        pipe: the first pipeline.
        stages: those behind it; none for a pipeline by itself.
        captions: one image each.
        generation: settings of the first.
        propagation: that of the first; in a cascade its settings, as pipelines may share a denoiser.
        on_step: called with (steps done, steps in all), all stages together.
        count: count GFLOPs, of every stage whose denoiser a family knows.
    """
    if not stages:
        return run(pipe, captions, generation, propagation, on_step, count)
    links = [
        _Link(pipe, generation, propagation),
        *(_Link(one.pipe, one.config, one.config.propagation) for one in stages),
    ]
    handing = [*(one.config.takes == LATENTS for one in stages), False]
    watch, made, outputs = _Watch(on_step, [link.settings.resolved_steps for link in links]), None, []
    for number, (link, latents) in enumerate(zip(links, handing, strict=True)):
        if number:
            link.pipe.scheduler = stages[number - 1].scheduler
        call = _Call(made, _seeds(captions, generation, number), latents)
        outputs.append(run(link.pipe, captions, link.settings, link.counting(count), watch.of(number), count, call))
        made = call.made if latents else outputs[-1].images
    return _summed(links, outputs)


@dataclass(frozen=True)
class _Link:
    """One pipeline of a cascade with its settings."""

    pipe: Any
    settings: Denoising
    propagation: PropagationConfig | None

    def counting(self, count: bool) -> PropagationConfig | None:
        """Return the settings of propagation, or those that change nothing but let a ledger count."""
        if self.propagation is None and count and find_denoisers(self.pipe):
            return PropagationConfig.unaccelerated()
        return self.propagation

    def did(self, output: GenerationOutput) -> StageOutput:
        """Return what the pipeline did."""
        ledger = output.ledger
        components = [] if ledger is None else [family.component for family, _ in find_families(self.pipe)]
        return StageOutput(
            name=type(self.pipe).__name__,
            steps=len(self.pipe.scheduler.timesteps),
            seconds=output.seconds,
            denoiser_seconds=output.denoiser_seconds,
            counted=output.counted,
            key_steps=None if ledger is None else ledger.key_steps,
            passes=() if ledger is None else passes(ledger, components),
        )


def passes(ledger: Ledger, denoisers: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return for every pass of a denoiser the first step that it answered, and how many."""
    whole = [entry for entry in ledger.entries if entry.module == WHOLE and entry.network in denoisers]
    return tuple((entry.steps[0], len(entry.steps)) for entry in whole)


@dataclass
class _Call:
    """How a pipeline of a cascade is called.

    Attributes:
        before: what the one before it made, pixels or latents; None for the first.
        seeds: of its own noise, one for each image.
        latents: whether it makes latents.
        made: what it made.
    """

    before: Tensor | None
    seeds: Sequence[int]
    latents: bool
    made: Tensor = field(default_factory=lambda: torch.empty(0))

    def __call__(self, pipe: Any, captions: Sequence[Caption], settings: Denoising) -> Tensor:
        """Call the pipeline; of latents only whether they hold numbers is returned, as pixels."""
        options = settings.call_options()
        if self.before is None:
            given = conditioning(pipe, captions, settings.size)
        else:
            accepted = parameters(pipe)
            given = going_on(pipe, captions, _handed(self.before, None if "height" in accepted else settings.size))
            options = {
                name: one for name, one in options.items() if name not in ("height", "width") or name in accepted
            }
        self.made = called(pipe, given, options, self.seeds, "latent" if self.latents else None)
        return self.made.flatten(1).sum(1)[:, None, None, None] * 0 if self.latents else self.made


def _handed(made: Tensor, size: int | None) -> Any:
    """Return pictures of 8 bits a color, resized where a size is asked for; latents stay what they are."""
    if made.dtype != torch.uint8:
        return made
    pictures = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in made]
    return pictures if size is None else [one.resize((size, size), Image.Resampling.LANCZOS) for one in pictures]


def _seeds(captions: Sequence[Caption], generation: GenerationConfig, number: int) -> list[int]:
    first = [caption.noise_seed(generation.seed) for caption in captions]
    return [stage_seed(seed, number) for seed in first] if number else first


@dataclass(frozen=True)
class _Watch:
    """Makes one count of steps of those of all stages."""

    on_step: OnStep | None
    steps: Sequence[int]

    def of(self, number: int) -> OnStep | None:
        """Return who is told of the steps of one stage."""
        tell, before, whole = self.on_step, sum(self.steps[:number]), sum(self.steps)
        return None if tell is None else lambda done, _: tell(min(before + done, whole), whole)


def _summed(links: Sequence[_Link], outputs: Sequence[GenerationOutput]) -> GenerationOutput:
    counts = [output.counted for output in outputs]
    finite = torch.stack([output.finite for output in outputs]).all(0)
    return replace(
        outputs[-1],
        images=outputs[-1].images * finite.view(-1, *[1] * (outputs[-1].images.dim() - 1)),
        finite=finite,
        seconds=sum(output.seconds for output in outputs),
        denoiser_seconds=total(output.denoiser_seconds for output in outputs),
        ledger=None,
        counted=_total(counts) if all(counts) else {},
        stages=tuple(link.did(output) for link, output in zip(links, outputs, strict=True)),
    )


def _total(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(count[name] for count in counts) for name in counts[0]}
