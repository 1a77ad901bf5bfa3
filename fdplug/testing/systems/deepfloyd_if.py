"""DeepFloyd-IF, stages I and II, at tiny size; stage III is the Stable Diffusion x4 upscaler."""

from __future__ import annotations

from typing import Any

from fdplug.testing.systems.system import System, noise, picture


def unet(**changes: Any) -> Any:
    """Return a real pixel-space U-Net of the IF kind: text pooled into time, learned variance."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnAddedKVProcessor2_0

    settings: dict[str, Any] = {
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "in_channels": 3,
        "out_channels": 6,
        "cross_attention_dim": 32,
        "encoder_hid_dim": 16,
        "encoder_hid_dim_type": "text_proj",
        "attention_head_dim": 4,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
        "resnet_time_scale_shift": "scale_shift",
        "act_fn": "gelu",
        "norm_num_groups": 4,
    }
    net = UNet2DConditionModel(**{**settings, **changes}).eval()
    net.set_attn_processor(AttnAddedKVProcessor2_0())
    return net


def scheduler() -> Any:
    """Return the DDPM scheduler of IF: learned variance, dynamic thresholding."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        variance_type="learned_range",
    )


_BARE = {
    "tokenizer": None,
    "text_encoder": None,
    "safety_checker": None,
    "feature_extractor": None,
    "watermarker": None,
    "requires_safety_checker": False,
}


def _first() -> Any:
    from diffusers import IFPipeline

    return IFPipeline(unet=unet(), scheduler=scheduler(), **_BARE)


def _second() -> Any:
    from diffusers import DDPMScheduler, IFSuperResolutionPipeline

    net = unet(in_channels=6, class_embed_type="timestep", mid_block_scale_factor=1.414, time_embedding_act_fn="gelu")
    noising = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    return IFSuperResolutionPipeline(unet=net, scheduler=scheduler(), image_noising_scheduler=noising, **_BARE)


def _embedded(n: int) -> dict[str, Any]:
    """Text embeddings in place of a T5 encoder, which would be of no interest here."""
    return {
        "prompt_embeds": noise(n, 7, 16),
        "negative_prompt_embeds": noise(1, 7, 16, seed=99).expand(n, -1, -1),
        "output_type": "pt",
    }


SYSTEMS = (
    System(
        name="if-1",
        title="DeepFloyd-IF, stage I",
        pipeline="IFPipeline",
        build=_first,
        arguments=lambda n: {**_embedded(n), "height": 8, "width": 8},
        resized={"height": 12, "width": 16},
        key_set="if-1",
    ),
    System(
        name="if-2",
        title="DeepFloyd-IF, stage II",
        pipeline="IFSuperResolutionPipeline",
        build=_second,
        arguments=lambda n: {**_embedded(n), "image": picture(n, 4) * 2 - 1, "height": 8, "width": 8},
        resized={"height": 12, "width": 16},
        key_set="if-2",
    ),
)
