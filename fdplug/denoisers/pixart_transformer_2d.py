"""Text-to-image diffusion transformers with cross attention: PixArt-alpha and PixArt-sigma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.transformer import transformer_parts

if TYPE_CHECKING:
    from torch import nn


class PixArtTransformer2D(DenoiserFamily):
    """`PixArtTransformer2DModel`: the encoder is the patch embedding and the leading 18/28 of the blocks.

    PixArt has DiT-XL/2's 28 blocks, for which the paper takes 18 (section 3.1).
    """

    name = "pixart-transformer-2d"
    models = ("diffusers.PixArtTransformer2DModel",)
    component = "transformer"
    sample = "hidden_states"
    conditioning = (
        "encoder_hidden_states",
        "added_cond_kwargs",
        "cross_attention_kwargs",
        "attention_mask",
        "encoder_attention_mask",
    )
    guidance = BATCHED

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks, and the trunk."""
        yield from transformer_parts(denoiser, ("transformer_blocks",), blocks=blocks)
