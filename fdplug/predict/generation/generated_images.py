"""What one pipeline call generated, image by image, as the image store takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdplug.predict.generation.generate import GenerationOutput, StageOutput, per_image
from fdplug.predict.storage.image_store import GeneratedImage

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


def generated_images(
    output: GenerationOutput,
    captions: Sequence[Caption],
    *,
    seed: int,
    variant: str,
    gflops: float | None,
    key_steps: int | None,
) -> list[GeneratedImage]:
    """Return the images of a call, each with an equal share of its costs.

    Args:
        output: what the call generated.
        captions: one for each image.
        seed: the seed of the run.
        variant: how the images were generated, in short.
        gflops: of the denoiser, per image; None if nothing was propagated.
        key_steps: how many; None if nothing was propagated.
    """
    count = len(captions)
    return [
        GeneratedImage(
            id=caption.image_id,
            caption=caption.text,
            seed=caption.noise_seed(seed),
            variant=variant,
            image=image if finite else None,
            seconds=output.seconds / count,
            denoiser_seconds=per_image(output.denoiser_seconds, count),
            gflops=gflops,
            key_steps=key_steps,
            rate=output.rate,
            stages=[_stage(stage, count) for stage in output.stages] or None,
        )
        for caption, image, finite in zip(captions, output.images, output.finite, strict=True)
    ]


def _stage(stage: StageOutput, count: int) -> dict[str, Any]:
    """Return one image's share of what a pipeline of a cascade did, ready for json."""
    return {
        "pipeline": stage.name,
        "steps": stage.steps,
        "seconds": stage.seconds / count,
        "denoiser_seconds": per_image(stage.denoiser_seconds, count),
        "gflops": stage.counted.get("full"),
        "key_steps": None if stage.key_steps is None else len(stage.key_steps),
    }
