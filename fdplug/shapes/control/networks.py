"""The ControlNet of `shapes-controlnet`, and the judge that finds the objects in its pictures."""

from __future__ import annotations

from typing import Any

from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

HINT_CHANNELS = (16, 32, 48)
"""Of the convolutions that bring the outlines (64x64) down to the size of the latents; each but the first halves."""
FINDER_CHANNELS = 32
DILATIONS = (1, 2, 4, 1)


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet that begins as the encoder of `unet` without its cross-attention.

    It reads the outlines, not the caption, at half of the parameters.
    """
    return ControlNetModel.from_unet(_without_attention(unet), conditioning_embedding_out_channels=HINT_CHANNELS)


def _without_attention(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    levels = len(unet.config["block_out_channels"])
    plain: Any = UNet2DConditionModel.from_config(
        unet.config,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2D",
    )
    own = plain.state_dict()
    plain.load_state_dict(own | {name: one for name, one in unet.state_dict().items() if name in own})
    return plain


class ObjectFinder(nn.Module):
    """Says of every pixel of a picture whether an object is there."""

    def __init__(self) -> None:
        super().__init__()
        width = FINDER_CHANNELS
        layers: list[nn.Module] = [*_normalised(nn.Conv2d(3, width, 5, 2, 2))]
        for reach in DILATIONS:
            layers += _normalised(nn.Conv2d(width, width, 3, padding=reach, dilation=reach))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 4, 1), nn.PixelShuffle(2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, H, W) of pictures (N, 3, H, W) in [0, 1]."""
        return self.layers(images * 2 - 1)[:, 0]


def _normalised(layer: nn.Conv2d) -> list[nn.Module]:
    return [layer, nn.GroupNorm(8, layer.out_channels), nn.SiLU()]
