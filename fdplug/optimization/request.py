"""A request: what is to be optimized, on which prompts, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError
from fdplug.lookup import find_family
from fdplug.optimization.budget import Budget
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.quality import Scores
from fdplug.presets.preset import Chosen, MadeFor, Preset
from fdplug.profiling.fingerprint import fingerprint

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.generation.config import GenerationConfig

LEAST_CALIBRATION, LEAST_HELD_OUT = 2, 4


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be optimized, and how long.

    Attributes:
        generation: the user's own settings.
        budget: the user's.
        calibration: captions of the search.
        held_out: captions of the verdict.
        maximize: what is to be as large as possible within a ceiling of cost.
        batch_size: images in one call.
        trials: proposals of the search.
        model: name of the model, for people.
    """

    generation: GenerationConfig
    budget: Budget
    calibration: Sequence[Caption]
    held_out: Sequence[Caption]
    maximize: str = "psnr"
    batch_size: int = 4
    trials: int = 40
    model: str | None = None

    def described(self, pipe: Any, scores: Scores) -> dict[str, Any]:
        """Return what decides every measurement, as json holds it; the budget may change from start to start."""
        return {
            "generation": self.generation.described(),
            "denoiser": fingerprint(find_family(pipe)[1]),
            "pipeline": type(pipe).__name__,
            "calibration": [[one.image_id, one.text] for one in self.calibration],
            "held_out": [[one.image_id, one.text] for one in self.held_out],
            "batch_size": self.batch_size,
            "scores": list(scores.keys),
        }


def split(captions: Sequence[Caption], calibration: int, held_out: int) -> tuple[list[Caption], list[Caption]]:
    """Return the captions of the search, the last ones, and those of the verdict, the first ones.

    Args:
        captions: all there are.
        calibration: how many the search may have.
        held_out: how many the verdict may have.

    Raises:
        ConfigError: there are too few to divide.
    """
    least = LEAST_CALIBRATION + LEAST_HELD_OUT
    if len(captions) < least:
        raise ConfigError(
            f"{len(captions)} prompts are too few: {LEAST_CALIBRATION} are searched on and {LEAST_HELD_OUT} others are "
            f"judged on; give at least {least}, the more the surer the verdict"
        )
    some = max(LEAST_CALIBRATION, min(calibration, len(captions) // 3))
    return list(captions[-some:]), list(captions[: min(held_out, len(captions) - some)])


def made_for(pipe: Any, request: Request) -> MadeFor:
    """Return what a preset of this pipeline is for."""
    network = find_family(pipe)[1]
    return MadeFor(
        pipeline=type(pipe).__name__,
        model=request.model,
        denoiser=fingerprint(network),
        scheduler=type(pipe.scheduler).__name__,
        size=request.generation.size,
        dtype=str(next(network.parameters()).dtype).removeprefix("torch."),
    )


def unjudged(candidate: Candidate, pipe: Any, request: Request, timesteps: int) -> Preset:
    """Return a candidate as a preset that was seen on calibration prompts only."""
    return Preset(
        about=f"{candidate.title}, best so far for budget {request.budget.text}; not judged on held-out prompts",
        settings=Chosen(
            sampler=candidate.sampler,
            steps=candidate.steps,
            timesteps=timesteps,
            guidance=request.generation.guidance,
            propagation=candidate.propagation,
        ),
        made_for=made_for(pipe, request),
        evidence="unjudged",
    )
