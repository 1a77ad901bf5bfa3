"""Flux."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fdplug.denoisers.base import Companion, DenoiserFamily, Part, spread
from fdplug.denoisers.guidance_rows import SEPARATE
from fdplug.denoisers.transformer import CONTROL, transformer_parts

if TYPE_CHECKING:
    from torch import Tensor, nn


class FluxTransformer2D(DenoiserFamily):
    """`FluxTransformer2DModel`: the encoder is the embeddings and the leading 18/28 of all blocks, double and single.

    The paper names no Flux model; the share is DiT's (section 3.1): 36 of 57, all 19 double blocks and 17 single ones.
    """

    name = "flux-transformer-2d"
    models = ("diffusers.FluxTransformer2DModel",)
    component = "transformer"
    sample = "hidden_states"
    conditioning = ("encoder_hidden_states", "pooled_projections", "guidance", "joint_attention_kwargs")
    batch_arguments = ("controlnet_block_samples", "controlnet_single_block_samples")
    unbatched = frozenset({"image_rotary_emb"})
    guidance = SEPARATE

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks, and the trunk."""
        stacks = ("transformer_blocks", "single_transformer_blocks")
        stem = ("x_embedder", "context_embedder")
        control = _Control(component="controlnet", sample="hidden_states", conditioning=CONTROL)
        yield from transformer_parts(denoiser, stacks, stem=stem, blocks=blocks, companions=(control,))

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Pipelines hand over timesteps in the latents' type and divided by 1,000."""
        return _thousandths(values, given, rows)


class _Control(Companion):
    """A ControlNet for Flux, which is given the same timesteps as Flux."""

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        return _thousandths(values, given, rows)


def _thousandths(values: Tensor, given: Any, rows: int) -> Tensor:
    return spread(values, rows).to(given.dtype) / 1000
