"""Denoiser families: what fdplug knows about the networks it accelerates."""

from __future__ import annotations

from collections.abc import Iterator

from fdplug.denoisers.base import Companion, DenoiserFamily, Part
from fdplug.denoisers.unet_2d_condition import UNet2DCondition
from fdplug.hooks import hookimpl

__all__ = ["Companion", "DenoiserFamily", "Part"]


@hookimpl
def fdplug_denoiser_families() -> Iterator[type[DenoiserFamily]]:
    """Yield the built-in families."""
    yield UNet2DCondition
