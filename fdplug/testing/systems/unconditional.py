"""Unconditional DDPM and DDIM, at tiny size."""

from __future__ import annotations

from typing import Any

from fdplug.testing.systems.system import System


def unet() -> Any:
    """Return a real `UNet2DModel` for 8 x 8 pixels."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()


def _ddpm() -> Any:
    from diffusers import DDPMPipeline, DDPMScheduler

    return DDPMPipeline(unet=unet(), scheduler=DDPMScheduler())


def _ddim() -> Any:
    from diffusers import DDIMPipeline, DDIMScheduler

    return DDIMPipeline(unet=unet(), scheduler=DDIMScheduler())


def _pixels(n: int) -> dict[str, Any]:
    return {"batch_size": n, "output_type": "np"}


SYSTEMS = (
    System(name="ddpm", title="Unconditional DDPM", pipeline="DDPMPipeline", build=_ddpm, arguments=_pixels),
    System(name="ddim", title="Unconditional DDIM", pipeline="DDIMPipeline", build=_ddim, arguments=_pixels),
)
