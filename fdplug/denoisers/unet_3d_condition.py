"""Text-to-video U-Nets of the ModelScope and VideoFusion kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import RESIDUALS, TEXT, unet_parts

if TYPE_CHECKING:
    from torch import nn


class UNet3DCondition(DenoiserFamily):
    """`UNet3DConditionModel`: the encoder is `conv_in`, `transformer_in`, the down blocks and the middle block.

    The paper applies its U-Net encoder to VideoFusion (section 4.3, Table 4); `transformer_in`, the temporal layer
    behind `conv_in`, feeds nothing but the encoder. Inside, a row is a frame: B samples of F frames are B * F rows.
    """

    name = "unet-3d-condition"
    models = ("diffusers.UNet3DConditionModel",)
    conditioning = TEXT
    batch_arguments = RESIDUALS
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser, stem=("conv_in", "transformer_in"))
