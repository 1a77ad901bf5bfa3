"""The U-Net of Kandinsky 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import unet_parts

if TYPE_CHECKING:
    from torch import nn


class Kandinsky3(DenoiserFamily):
    """`Kandinsky3UNet`: the encoder is `conv_in` and every down block; there is no middle block.

    The paper names no such model; its U-Net encoder (section 3.1) is taken over.
    """

    name = "kandinsky3-unet"
    models = ("diffusers.Kandinsky3UNet",)
    conditioning = ("encoder_hidden_states", "encoder_attention_mask")
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser)
