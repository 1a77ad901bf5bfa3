"""Text-conditioned 2D U-Nets: Stable Diffusion 1.x and 2.x, SDXL, DeepFloyd-IF and their relatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.unet import RESIDUALS, TEXT, unet_parts

if TYPE_CHECKING:
    from torch import nn


class UNet2DCondition(DenoiserFamily):
    """`UNet2DConditionModel`: the encoder is `conv_in`, every down block and the middle block (paper, section 3.1).

    The middle block counts as encoder because the paper's GFLOPs and code skip it as well. ControlNets run at key
    steps only, and their residuals are replayed with the features (paper, section 4.3).
    """

    name = "unet-2d-condition"
    models = ("diffusers.UNet2DConditionModel",)
    conditioning = TEXT
    batch_arguments = RESIDUALS
    guidance = BATCHED

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder and both, as in the paper's Table 14, and the trunk."""
        yield from unet_parts(denoiser)

    def couples_rows(self, denoiser: nn.Module) -> bool:
        """Whether an attention processor counts on a fixed batch: Text2Video-Zero's frames look at the first one."""
        from fdplug import trees

        held = [vars(one) for one in trees.modules(denoiser)]
        return any(hasattr(one["processor"], "batch_size") for one in held if "processor" in one)
