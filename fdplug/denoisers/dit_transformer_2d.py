"""Class-conditional diffusion transformers: DiT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import CLASSES_FIRST
from fdplug.denoisers.transformer import transformer_parts

if TYPE_CHECKING:
    from torch import nn


class DiTTransformer2D(DenoiserFamily):
    """`DiTTransformer2DModel`: the encoder is the patch embedding and the first 18 of 28 blocks (paper, section 3.1).

    Other depths take the same share, rounded down; `part={"encoder": {"blocks": 14}}` sets another number.
    """

    name = "dit-transformer-2d"
    models = ("diffusers.DiTTransformer2DModel",)
    component = "transformer"
    sample = "hidden_states"
    conditioning = ("class_labels", "cross_attention_kwargs")
    guidance = CLASSES_FIRST

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks, and the trunk."""
        yield from transformer_parts(denoiser, ("transformer_blocks",), blocks=blocks)
