"""Stable Video Diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import unet_parts

if TYPE_CHECKING:
    from torch import nn


class UNetSpatioTemporalCondition(DenoiserFamily):
    """`UNetSpatioTemporalConditionModel`: the encoder is `conv_in`, every down block and the middle block.

    The paper names no Stable Video Diffusion model; this is its U-Net encoder (section 3.1). Inside, a row is a frame.
    """

    name = "unet-spatio-temporal-condition"
    models = ("diffusers.UNetSpatioTemporalConditionModel",)
    conditioning = ("encoder_hidden_states", "added_time_ids")
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser)
