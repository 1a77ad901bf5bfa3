"""A 2D U-Net that ControlNet-XS has grown together with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import TEXT, unet_parts

if TYPE_CHECKING:
    from torch import nn

_STEM = ("base_conv_in", "ctrl_conv_in", "controlnet_cond_embedding", "control_to_base_for_conv_in")


class UNetControlNetXS(DenoiserFamily):
    """`UNetControlNetXSModel`: the encoder is the first convolutions, every down block and the middle block.

    The paper names no such model; its U-Net encoder (section 3.1) is taken over. Control and U-Net exchange features in
    every block, so that they are computed and replayed together.
    """

    name = "unet-controlnet-xs"
    models = ("diffusers.UNetControlNetXSModel",)
    conditioning = TEXT
    batch_arguments = ("controlnet_cond",)
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk; the control is inside, and nothing runs before the U-Net."""
        yield from (replace(part, companions=()) for part in unet_parts(denoiser, stem=_STEM))
