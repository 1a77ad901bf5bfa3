"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import Companion, DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import BATCHED
from fdplug.denoisers.transformer import CONTROL, transformer_parts

if TYPE_CHECKING:
    from torch import nn


class SD3Transformer2D(DenoiserFamily):
    """`SD3Transformer2DModel`: the encoder is the embeddings of picture and text and the leading 18/28 of the blocks.

    The paper names no SD3 model; the share is DiT's (section 3.1). What is kept is the picture's and the text's stream.
    """

    name = "sd3-transformer-2d"
    models = ("diffusers.SD3Transformer2DModel",)
    component = "transformer"
    sample = "hidden_states"
    conditioning = ("encoder_hidden_states", "pooled_projections", "joint_attention_kwargs")
    batch_arguments = ("block_controlnet_hidden_states",)
    guidance = BATCHED

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks, and the trunk."""
        stem = ("pos_embed", "context_embedder")
        control = Companion(component="controlnet", sample="hidden_states", conditioning=CONTROL)
        yield from transformer_parts(denoiser, ("transformer_blocks",), stem=stem, blocks=blocks, companions=(control,))
