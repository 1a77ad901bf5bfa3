"""The U-Net of AudioLDM 2, which reads two texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import TEXT, unet_parts

if TYPE_CHECKING:
    from torch import nn


class AudioLDM2(DenoiserFamily):
    """`AudioLDM2UNet2DConditionModel`: the encoder is `conv_in`, every down block and the middle block.

    The paper names no such model; its U-Net encoder (section 3.1) is taken over.
    """

    name = "audioldm2-unet"
    models = ("diffusers.AudioLDM2UNet2DConditionModel",)
    conditioning = (*TEXT, "encoder_hidden_states_1", "encoder_attention_mask_1")
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser)
