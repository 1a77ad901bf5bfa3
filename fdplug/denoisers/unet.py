"""What all U-Nets have in common: an encoder of down and middle blocks, a decoder of up blocks, and ControlNets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.denoisers.base import Companion, Part, trunk

if TYPE_CHECKING:
    from torch import nn

TEXT = (
    "encoder_hidden_states",
    "class_labels",
    "timestep_cond",
    "attention_mask",
    "cross_attention_kwargs",
    "added_cond_kwargs",
    "encoder_attention_mask",
)
RESIDUALS = (
    "down_block_additional_residuals",
    "mid_block_additional_residual",
    "down_intrablock_additional_residuals",
)

# One ControlNet or several: a MultiControlNetModel is one network with the same arguments.
CONTROLNET = Companion(
    component="controlnet",
    conditioning=(
        "encoder_hidden_states",
        "controlnet_cond",
        "conditioning_scale",
        "control_type",
        "control_type_idx",
        "class_labels",
        "timestep_cond",
        "attention_mask",
        "added_cond_kwargs",
        "cross_attention_kwargs",
        "guess_mode",
    ),
)


def unet_parts(unet: nn.Module, stem: tuple[str, ...] = ("conv_in",)) -> Iterator[Part]:
    """Yield encoder, decoder and both, as in the paper's Table 14, and the trunk, for any U-Net.

    The decoder part leaves out the last up block: were it replayed too, the prediction of a key step would simply be
    repeated and the two decoder schemes of Table 14, which differ, would be one.
    """
    encoder = (*stem, *_children(unet, "down_blocks"), *_middle(unet))
    decoder = _children(unet, "up_blocks")[:-1]
    control = (CONTROLNET,)
    yield Part(name="encoder", modules=encoder, sample_free=True, companions=control)
    yield Part(name="decoder", modules=decoder, sample_free=False)
    yield Part(name="encoder+decoder", modules=encoder + decoder, sample_free=True, companions=control)
    blocks = (*encoder[len(stem) :], *_children(unet, "up_blocks"))
    yield trunk((*stem, *blocks), control, blocks)


def _children(unet: nn.Module, name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{index}" for index, _ in enumerate(getattr(unet, name)))


def _middle(unet: nn.Module) -> tuple[str, ...]:
    return ("mid_block",) if getattr(unet, "mid_block", None) is not None else ()
