"""Text-conditioned 2D U-Nets: Stable Diffusion 1.x and 2.x, SDXL, DeepFloyd-IF and their relatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import DenoiserFamily, Part

if TYPE_CHECKING:
    from torch import nn


class UNet2DCondition(DenoiserFamily):
    """`UNet2DConditionModel`: the encoder is `conv_in`, every down block and the middle block (paper, section 3.1).

    The middle block counts as encoder because the paper's GFLOPs and code skip it as well.
    """

    name = "unet-2d-condition"
    models = ("diffusers.UNet2DConditionModel",)
    conditioning = (
        "encoder_hidden_states",
        "class_labels",
        "timestep_cond",
        "attention_mask",
        "cross_attention_kwargs",
        "added_cond_kwargs",
        "encoder_attention_mask",
    )
    batch_arguments = (
        "down_block_additional_residuals",
        "mid_block_additional_residual",
        "down_intrablock_additional_residuals",
    )

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder and both, as in the paper's Table 14."""
        yield from unet_parts(denoiser)


def unet_parts(unet: nn.Module) -> Iterator[Part]:
    """Yield the parts of any U-Net with `conv_in`, `down_blocks`, `mid_block` and `up_blocks`.

    The decoder part leaves out the last up block: were it replayed too, the prediction of a key step would simply be
    repeated and the two decoder schemes of Table 14, which differ, would be one.
    """
    encoder = ("conv_in", *_children(unet, "down_blocks"), *_middle(unet))
    decoder = _children(unet, "up_blocks")[:-1]
    yield Part(name="encoder", modules=encoder, sample_free=True)
    yield Part(name="decoder", modules=decoder, sample_free=False)
    yield Part(name="encoder+decoder", modules=encoder + decoder, sample_free=True)


def _children(unet: nn.Module, name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{index}" for index, _ in enumerate(getattr(unet, name)))


def _middle(unet: nn.Module) -> tuple[str, ...]:
    return ("mid_block",) if getattr(unet, "mid_block", None) is not None else ()
