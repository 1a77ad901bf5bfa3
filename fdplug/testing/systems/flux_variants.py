"""Pipelines that share Flux's transformer, at tiny size: editing, filling, control maps and image-to-image."""

from __future__ import annotations

from typing import Any

import torch

from fdplug.testing.systems.system import System, noise, picture
from fdplug.testing.systems.transformers import flux_components, flux_transformer

ABSENT = {"image_encoder": None, "feature_extractor": None}


def _components(channels: int = 16) -> dict[str, Any]:
    """Return components whose transformer takes latents of `channels` channels and answers with 16."""
    made = flux_components()
    made["vae"].register_to_config(shift_factor=0.1)
    return made if channels == 16 else {**made, "transformer": flux_transformer(in_channels=channels, out_channels=16)}


def _kontext() -> Any:
    from diffusers import FluxKontextPipeline

    return FluxKontextPipeline(**_components(), **ABSENT)


def _img2img() -> Any:
    from diffusers import FluxImg2ImgPipeline

    return FluxImg2ImgPipeline(**_components(), **ABSENT)


def _control() -> Any:
    from diffusers import FluxControlPipeline

    return FluxControlPipeline(**_components(32))


def _fill() -> Any:
    from diffusers import FluxFillPipeline

    return FluxFillPipeline(**_components(48))


def _prompted(n: int, size: int = 16) -> dict[str, Any]:
    return {
        "prompt_embeds": noise(n, 6, 16),
        "pooled_prompt_embeds": noise(n, 16),
        "height": size,
        "width": size,
        "output_type": "latent",
    }


def _masked(n: int, size: int = 16) -> dict[str, Any]:
    mask = torch.zeros(n, 1, size, size)
    mask[..., size // 2 :] = 1
    return {"image": picture(n, size), "mask_image": mask}


def _wide(**arguments: Any) -> dict[str, Any]:
    return {"height": 32, "width": 32, **arguments}


SYSTEMS = (
    System(
        name="flux-kontext",
        title="Flux Kontext: editing",
        pipeline="FluxKontextPipeline",
        build=_kontext,
        arguments=lambda n: {**_prompted(n), "image": picture(n), "max_area": 256, "_auto_resize": False},
        resized=_wide(max_area=1024),
    ),
    System(
        name="flux-img2img",
        title="Flux image-to-image",
        pipeline="FluxImg2ImgPipeline",
        build=_img2img,
        arguments=lambda n: {**_prompted(n), "image": picture(n), "strength": 0.8, "num_inference_steps": 8},
        resized=_wide(image=picture(1, 32)),
    ),
    System(
        name="flux-control",
        title="Flux Control: depth or edges as channels",
        pipeline="FluxControlPipeline",
        build=_control,
        arguments=lambda n: {**_prompted(n), "control_image": picture(n)},
        resized=_wide(control_image=picture(1, 32)),
    ),
    System(
        name="flux-fill",
        title="Flux Fill: inpainting",
        pipeline="FluxFillPipeline",
        build=_fill,
        arguments=lambda n: {**_prompted(n), **_masked(n)},
        resized=_wide(**_masked(1, 32)),
    ),
)
