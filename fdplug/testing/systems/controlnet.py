"""ControlNets, one and several, for Stable Diffusion and SDXL, at tiny size."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.stable_diffusion import SMALL, text_to_image
from fdplug.testing.systems.stable_diffusion_xl import components
from fdplug.testing.systems.system import System, picture


def controlnet(unet: Any, channels: tuple[int, ...] = (8, 16)) -> Any:
    """Return a ControlNet for this U-Net whose output is not zero; every channel but the first halves the picture."""
    from diffusers import ControlNetModel

    return filled(ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)).eval()


def filled(net: Any) -> Any:
    """Return a network whose parameters that begin at zero are random, so that its output is not zero."""
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


def _xs(pipeline: str, parts: dict[str, Any]) -> Any:
    """Return a pipeline whose U-Net is grown together with a ControlNet-XS, as the pipeline itself does it."""
    import diffusers

    unet = parts["unet"]
    adapter = diffusers.ControlNetXSAdapter.from_unet(unet, size_ratio=1, conditioning_embedding_out_channels=(8, 8))
    grown = filled(diffusers.UNetControlNetXSModel.from_unet(unet, filled(adapter))).eval()
    return getattr(diffusers, pipeline)(**{**parts, "unet": grown, "controlnet": adapter})


def _sd_xs() -> Any:
    pipe = testing.tiny_pipeline(**SMALL, **_LAYERS)
    parts = {**pipe.components, "requires_safety_checker": False}
    parts.pop("image_encoder", None)
    return _xs("StableDiffusionControlNetXSPipeline", parts)


def _sdxl_xs() -> Any:
    parts = {**components(**_LAYERS), "add_watermarker": False}
    return _xs("StableDiffusionXLControlNetXSPipeline", parts)


def _union() -> Any:
    from diffusers import ControlNetUnionModel, StableDiffusionXLControlNetUnionPipeline

    parts = components()
    shared = {name: value for name, value in parts["unet"].config.items() if name in _OF_UNET}
    small = {"num_trans_channel": 8, "num_trans_head": 2, "num_proj_channel": 8}
    union = ControlNetUnionModel(**shared, **small, conditioning_embedding_out_channels=(8, 16))
    return StableDiffusionXLControlNetUnionPipeline(**parts, controlnet=filled(union).eval(), add_watermarker=False)


def _united(n: int) -> dict[str, Any]:
    return {**text_to_image(n), "control_image": [picture(n)], "control_mode": [1]}


def _controlled(n: int) -> dict[str, Any]:
    return {**text_to_image(n), "image": picture(n)}


def _controlled_twice(n: int) -> dict[str, Any]:
    images = [picture(n), picture(n, seed=5)]
    return {**text_to_image(n), "image": images, "controlnet_conditioning_scale": [1.0, 0.5]}


_LAYERS = {"layers_per_block": 2, "use_linear_projection": True}
_OF_UNET = (
    *("block_out_channels", "down_block_types", "layers_per_block", "cross_attention_dim", "attention_head_dim"),
    *("norm_num_groups", "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
    *("transformer_layers_per_block", "use_linear_projection"),
)
_RESIZED = {"height": 32, "width": 32}
_CONTROLLED_RESIZED = {**_RESIZED, "image": picture(1, 32)}

SYSTEMS = (
    System(
        name="controlnet",
        title="ControlNet",
        pipeline="StableDiffusionControlNetPipeline",
        build=_one,
        arguments=_controlled,
        resized=_CONTROLLED_RESIZED,
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
        resized=_CONTROLLED_RESIZED,
    ),
    System(
        name="sdxl-controlnet-union",
        title="ControlNet Union for SDXL",
        pipeline="StableDiffusionXLControlNetUnionPipeline",
        build=_union,
        arguments=_united,
        resized={**_RESIZED, "control_image": [picture(1, 32)]},
    ),
    System(
        name="controlnet-xs",
        title="ControlNet-XS",
        pipeline="StableDiffusionControlNetXSPipeline",
        build=_sd_xs,
        arguments=_controlled,
        resized=_CONTROLLED_RESIZED,
    ),
    System(
        name="sdxl-controlnet-xs",
        title="ControlNet-XS for SDXL",
        pipeline="StableDiffusionXLControlNetXSPipeline",
        build=_sdxl_xs,
        arguments=_controlled,
        resized=_CONTROLLED_RESIZED,
    ),
)
