"""The U-Nets of Stable Cascade: of its prior, and of its decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fdplug.denoisers.base import DenoiserFamily, Part, spread
from fdplug.denoisers.guidance_rows import CONDITIONAL, DIFFUSERS, UNCONDITIONAL, GuidanceRows

if TYPE_CHECKING:
    from torch import Tensor, nn

_TEXT_FIRST = GuidanceRows(order=(CONDITIONAL, UNCONDITIONAL), pipelines=DIFFUSERS)


class StableCascadePrior(DenoiserFamily):
    """`StableCascadeUNet`: the encoder is `embedding`, its conditioning and every block of the way down.

    The paper names no such model; its U-Net encoder (section 3.1) is taken over; there is no middle block.
    """

    name = "stable-cascade-prior"
    models = ("diffusers.models.StableCascadeUNet",)
    component = "prior"
    timestep = "timestep_ratio"
    conditioning = ("clip_text_pooled", "clip_text", "clip_img", "sca", "crp")
    batch_arguments = ("effnet", "pixels")
    guidance = _TEXT_FIRST

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield the encoder; no trunk, as its own scheduler adds noise, which no replayed trunk would see."""
        yield Part(name="encoder", modules=("embedding", *_mappers(denoiser), *_down(denoiser)), sample_free=True)

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Return the shares of the way that are left, which are the timesteps of its own scheduler."""
        return spread(values, rows).to(given.dtype)


class StableCascadeDecoder(StableCascadePrior):
    """`StableCascadeUNet`: the encoder is `embedding`, its conditioning and every block of the way down.

    The paper names no such model; its U-Net encoder (section 3.1) is taken over; there is no middle block.
    """

    name = "stable-cascade-decoder"
    component = "decoder"


def _mappers(unet: Any) -> Iterator[str]:
    """Yield what makes of small pictures something to add to the embedding; the prior has none."""
    yield from (name for name, _ in unet.named_children() if name in ("effnet_mapper", "pixels_mapper"))


def _down(unet: Any) -> Iterator[str]:
    """Yield the modules of the way down, level by level."""
    for level, blocks in enumerate(unet.down_blocks):
        yield f"down_downscalers.{level}"
        yield from (f"down_blocks.{level}.{index}" for index, _ in enumerate(blocks))
        yield from (f"down_repeat_mappers.{level}.{index}" for index, _ in enumerate(unet.down_repeat_mappers[level]))
