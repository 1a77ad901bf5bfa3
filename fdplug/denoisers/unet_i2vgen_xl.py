"""The image-to-video U-Net of I2VGen-XL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import unet_parts

if TYPE_CHECKING:
    from torch import nn


class I2VGenXL(DenoiserFamily):
    """`I2VGenXLUNet`: the encoder is `conv_in`, `transformer_in`, the down blocks and the middle block.

    The paper names no such model; this is its encoder of VideoFusion (section 4.3), which has the same blocks. What the
    picture becomes, and the texts with it, is computed at every step. Inside, a row is a frame.
    """

    name = "i2vgen-xl-unet"
    models = ("diffusers.I2VGenXLUNet",)
    conditioning = (
        *("encoder_hidden_states", "fps", "image_latents", "image_embeddings"),
        *("timestep_cond", "cross_attention_kwargs"),
    )
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser, stem=("conv_in", "transformer_in"))
