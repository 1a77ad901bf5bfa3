"""AnimateDiff: Stable Diffusion's U-Net with motion modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import RESIDUALS, TEXT, unet_parts

if TYPE_CHECKING:
    from torch import nn


class UNetMotion(DenoiserFamily):
    """`UNetMotionModel`: the encoder is `conv_in`, every down block with its motion modules, and the middle block.

    The paper names no AnimateDiff model; this is its U-Net encoder (section 3.1). Inside, a row is a frame; text
    embeddings come with one row per frame.
    """

    name = "unet-motion-model"
    models = ("diffusers.UNetMotionModel",)
    conditioning = TEXT
    batch_arguments = RESIDUALS
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser)
