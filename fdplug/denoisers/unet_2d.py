"""Unconditional and class-conditional 2D U-Nets: DDPM, DDIM and score-based models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.unet import unet_parts

if TYPE_CHECKING:
    from torch import nn


class UNet2D(DenoiserFamily):
    """`UNet2DModel`: the encoder is `conv_in`, every down block and the middle block, as in the text-conditioned ones.

    The paper treats no pixel-space model without text; its definition of the encoder (section 3.1) carries over.
    """

    name = "unet-2d"
    models = ("diffusers.UNet2DModel",)
    conditioning = ("class_labels",)

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser)
