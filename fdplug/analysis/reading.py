"""The figures in words: what the measured features say about the method's premise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from fdplug.analysis.features import Features
from fdplug.denoisers.blocks import HALVES, Block
from fdplug.errors.wording import number_of

EARLY = 5  # one fifth of the steps


@dataclass(frozen=True, kw_only=True)
class Half:
    """One half of the denoiser, over its blocks and all steps.

    Attributes:
        change: mean of `mse` over blocks and steps; what the paper plots in Figure 3a.
        relative: mean of `relative`.
        largest: greatest mean `mse` of a block at a step, with the block's label and the step.
        spread: mean over blocks of the standard deviation over steps of the mean `fnorm` (Figure 3c).
        relative_spread: the same, each divided by the block's mean `fnorm`.
    """

    change: float
    relative: float
    largest: tuple[float, str, int]
    spread: float
    relative_spread: float


def halves(features: Features) -> dict[str, Half]:
    """Return what is known of each half that the denoiser has."""
    return {half: _half(features, features.half(half)) for half in HALVES if features.half(half)}


def _half(features: Features, blocks: Sequence[Block]) -> Half:
    steps = range(1, len(features.timesteps))
    changes = [
        (features.mean(one.name, step, "mse"), features.labels[one.name], step) for one in blocks for step in steps
    ]
    norms = [norms_over_steps(features, block) for block in blocks]
    return Half(
        change=fmean(change for change, _, _ in changes),
        relative=fmean(features.mean(one.name, step, "relative") for one in blocks for step in steps),
        largest=max(changes),
        spread=fmean(pstdev(one) for one in norms),
        relative_spread=fmean(pstdev(one) / max(fmean(one), 1e-12) for one in norms),
    )


def norms_over_steps(features: Features, block: Block) -> list[float]:
    """The mean `fnorm` of a block at every step."""
    return [features.mean(block.name, step, "fnorm") for step in range(len(features.timesteps))]


def early_share(features: Features, half: str) -> float:
    """Return the share of a half's relative change that falls into the first fifth of the steps."""
    steps = range(1, len(features.timesteps))
    changes = [sum(features.mean(one.name, step, "relative") for one in features.half(half)) for step in steps]
    return sum(changes[: max(1, len(changes) // EARLY)]) / max(sum(changes), 1e-12)


def paragraph(features: Features) -> str:
    """Return the reading: one paragraph, every word of which follows from the numbers."""
    found = halves(features)
    encoder, decoder = found["encoder"], found["decoder"]
    verdicts = [
        _verdict(encoder, decoder, lambda one: one.change),
        _verdict(encoder, decoder, lambda one: one.relative),
    ]
    holds = {(True, True): "holds here", (False, False): "does not hold here"}.get(
        (verdicts[0], verdicts[1]), "holds here by one measure only"
    )
    return " ".join(
        [
            f"Over {number_of(features.images, 'image')} and {number_of(len(features.timesteps), 'step')},"
            f" the paper's premise that a denoiser's encoder changes less from step to step than its decoder {holds}.",
            _compared("The mean squared change", encoder.change, decoder.change) + ";",
            _compared("relative to the features' own mean square it", encoder.relative, decoder.relative) + ".",
            f"The largest change of a block at one step is {encoder.largest[0]:.3g} in the encoder"
            f" ({encoder.largest[1]}, step {encoder.largest[2]}) and {decoder.largest[0]:.3g} in the decoder"
            f" ({decoder.largest[1]}, step {decoder.largest[2]}).",
            f"Over the steps the Frobenius norm of the channel mean varies by {encoder.spread:.3g} in the encoder and"
            f" {decoder.spread:.3g} in the decoder (standard deviation, mean over blocks),"
            f" {encoder.relative_spread:.1%} and {decoder.relative_spread:.1%} of its mean.",
            _when(early_share(features, "encoder"), len(features.timesteps) - 1),
        ]
    )


def _verdict(encoder: Half, decoder: Half, measure: Callable[[Half], float]) -> bool:
    return measure(encoder) < measure(decoder)


def _compared(what: str, encoder: float, decoder: float) -> str:
    ratio = encoder / max(decoder, 1e-12)
    times = f"{1 / max(ratio, 1e-12):.2g} times less" if ratio < 1 else f"{ratio:.2g} times as much"
    return f"{what} is {encoder:.3g} in the encoder and {decoder:.3g} in the decoder, {times}"


def _when(share: float, changes: int) -> str:
    fair = max(1, changes // EARLY) / changes
    where = "early" if share > fair else "late"
    return (
        f"The first fifth of the steps holds {share:.0%} of the encoder's relative change"
        f" ({fair:.0%} if it were even): it changes {where}. Where key steps belong also depends on how much of an"
        " error the later steps correct, which `fdplug tune` measures."
    )


def as_dict(features: Features) -> dict[str, Any]:
    """The same numbers, ready for json."""
    found = {name: vars(half) for name, half in halves(features).items()}
    return {**found, "early_share": {half: early_share(features, half) for half in found}}
