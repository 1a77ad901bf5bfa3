"""ControlNets, one and several, for Stable Diffusion and SDXL, at tiny size."""

from __future__ import annotations

from typing import Any

from fdplug import testing
from fdplug.testing.systems.stable_diffusion import SMALL, text_to_image
from fdplug.testing.systems.stable_diffusion_xl import components
from fdplug.testing.systems.system import System, picture


def controlnet(unet: Any, channels: tuple[int, ...] = (8, 16)) -> Any:
    """Return a ControlNet for this U-Net whose output is not zero; every channel but the first halves the picture."""
    import torch
    from diffusers import ControlNetModel

    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels).eval()
    for parameter in net.parameters():
        if not parameter.is_meta and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def _one() -> Any:
    from diffusers import StableDiffusionControlNetPipeline

    pipe = testing.tiny_pipeline(**SMALL)
    return StableDiffusionControlNetPipeline(
        **pipe.components, controlnet=controlnet(pipe.unet), requires_safety_checker=False
    )


def _two() -> Any:
    from diffusers import StableDiffusionControlNetPipeline

    pipe = testing.tiny_pipeline(**SMALL)
    nets = [controlnet(pipe.unet), controlnet(pipe.unet)]
    return StableDiffusionControlNetPipeline(**pipe.components, controlnet=nets, requires_safety_checker=False)


def _xl() -> Any:
    from diffusers import StableDiffusionXLControlNetPipeline

    parts = components()
    return StableDiffusionXLControlNetPipeline(**parts, controlnet=controlnet(parts["unet"]), add_watermarker=False)


def _controlled(n: int) -> dict[str, Any]:
    return {**text_to_image(n), "image": picture(n)}


def _controlled_twice(n: int) -> dict[str, Any]:
    images = [picture(n), picture(n, seed=5)]
    return {**text_to_image(n), "image": images, "controlnet_conditioning_scale": [1.0, 0.5]}


_RESIZED = {"height": 32, "width": 32}

SYSTEMS = (
    System(
        name="controlnet",
        title="ControlNet",
        pipeline="StableDiffusionControlNetPipeline",
        build=_one,
        arguments=_controlled,
        resized={**_RESIZED, "image": picture(1, 32)},
    ),
    System(
        name="controlnet-several",
        title="ControlNet, several",
        pipeline="StableDiffusionControlNetPipeline",
        build=_two,
        arguments=_controlled_twice,
        resized={**_RESIZED, "image": [picture(1, 32), picture(1, 32, seed=5)]},
    ),
    System(
        name="sdxl-controlnet",
        title="ControlNet for SDXL",
        pipeline="StableDiffusionXLControlNetPipeline",
        build=_xl,
        arguments=_controlled,
        resized={**_RESIZED, "image": picture(1, 32)},
    ),
)
