"""Denoiser families: what fdplug knows about the networks it accelerates."""

from __future__ import annotations

from collections.abc import Iterator

from fdplug.denoisers.base import Companion, DenoiserFamily, Part, trunk
from fdplug.denoisers.dit_transformer_2d import DiTTransformer2D
from fdplug.denoisers.guidance_rows import GuidanceRows
from fdplug.denoisers.pixart_transformer_2d import PixArtTransformer2D
from fdplug.denoisers.transformer_flux import FluxTransformer2D
from fdplug.denoisers.transformer_sd3 import SD3Transformer2D
from fdplug.denoisers.transformer_table import FAMILIES
from fdplug.denoisers.unet_2d import UNet2D
from fdplug.denoisers.unet_2d_condition import UNet2DCondition
from fdplug.denoisers.unet_3d_condition import UNet3DCondition
from fdplug.denoisers.unet_audioldm2 import AudioLDM2
from fdplug.denoisers.unet_controlnet_xs import UNetControlNetXS
from fdplug.denoisers.unet_i2vgen_xl import I2VGenXL
from fdplug.denoisers.unet_kandinsky3 import Kandinsky3
from fdplug.denoisers.unet_motion_model import UNetMotion
from fdplug.denoisers.unet_spatio_temporal_condition import UNetSpatioTemporalCondition
from fdplug.denoisers.unet_stable_cascade import StableCascadeDecoder, StableCascadePrior
from fdplug.hooks import hookimpl

__all__ = ["Companion", "DenoiserFamily", "GuidanceRows", "Part", "trunk"]


@hookimpl
def fdplug_denoiser_families() -> Iterator[type[DenoiserFamily]]:
    """Yield the built-in families."""
    yield from (UNet2DCondition, UNet2D, UNet3DCondition, UNetMotion, UNetSpatioTemporalCondition)
    yield from (DiTTransformer2D, PixArtTransformer2D, SD3Transformer2D, FluxTransformer2D)
    yield from (Kandinsky3, AudioLDM2, I2VGenXL, UNetControlNetXS, StableCascadePrior, StableCascadeDecoder)
    yield from FAMILIES
