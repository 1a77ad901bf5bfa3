"""What a batch of captions became: images generated now, and images that an interrupted run has left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from fdplug.predict.generation.generate import total

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.storage.image_store import GeneratedImage


class Prediction(NamedTuple):
    """What `predict_step` returns for a batch, be it generated now or read back from an interrupted run.

    Attributes:
        images: (N, 3, H, W) uint8 on the CPU, of videos (N, F, 3, H, W), of sounds (N, channels, samples) int16; those
            that hold numbers only, so there may be none.
        captions: N captions.
        seconds: in the pipeline, for these images.
        denoiser_seconds: in the denoiser, for these images; None where no family knows it.
        gflops: of the denoiser, for these images; None if nothing was propagated.
        key_steps: how many; None if nothing was propagated.
        generated: what of it is new.
    """

    images: Tensor
    captions: list[Caption]
    seconds: float
    denoiser_seconds: float | None
    gflops: float | None = None
    key_steps: int | None = None
    generated: Sequence[GeneratedImage] = ()


def gathered(
    captions: Sequence[Caption], images: Sequence[GeneratedImage], generated: Sequence[GeneratedImage] = ()
) -> Prediction:
    """Return the images that hold numbers as one batch.

    Args:
        captions: one for each image.
        images: all images of the batch.
        generated: those of them that are new.
    """
    whole = [(caption, one) for caption, one in zip(captions, images, strict=True) if one.image is not None]
    pixels = [one.image for one in images if one.image is not None]
    gflops = [one.gflops for _, one in whole if one.gflops is not None]
    key_steps = [one.key_steps for _, one in whole if one.key_steps is not None]
    return Prediction(
        images=torch.stack(pixels) if pixels else _NONE,
        captions=[caption for caption, _ in whole],
        seconds=sum(one.seconds for _, one in whole),
        denoiser_seconds=total(one.denoiser_seconds for _, one in whole),
        gflops=sum(gflops) if gflops else None,
        key_steps=key_steps[-1] if key_steps else None,
        generated=generated,
    )


_NONE = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
