"""Text-to-image transformers of the table, at tiny size, from given embeddings."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.from_embeddings import (
    CHANNELS,
    MASKS,
    SMALL,
    TOKENS,
    embedded,
    masked,
    sized,
    tabled,
    with_vae,
)
from fdplug.testing.systems.system import noise

_STREAMS = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 3,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
}
_FLUX2 = {**_STREAMS, "attention_head_dim": 16, "axes_dims_rope": (4, 4, 4, 4)}
_COGVIEW = {
    **SMALL,
    **CHANNELS,
    "patch_size": 2,
    "attention_head_dim": 8,
    "text_embed_dim": 16,
    "time_embed_dim": 8,
    "condition_dim": 4,
}
_PLAIN = {"negative_prompt": None, "use_resolution_binning": False}


def _flux2_vae() -> dict[str, Any]:
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return {"vae": vae.eval()}


def _cogview3_parts() -> dict[str, Any]:
    from diffusers import CogVideoXDDIMScheduler

    return {"vae": testing.tiny_vae(), "scheduler": CogVideoXDDIMScheduler()}


def _hunyuan_dit_parts() -> dict[str, Any]:
    from diffusers import DDPMScheduler

    return {"scheduler": DDPMScheduler(), "requires_safety_checker": False}


def _bria_vae() -> dict[str, Any]:
    vae = testing.tiny_vae()
    vae.register_to_config(shift_factor=0)
    return {"vae": vae}


def _qwen_arguments(n: int) -> dict[str, Any]:
    masks = masked(n, "prompt_embeds_mask", "negative_prompt_embeds_mask")
    return {**embedded(n), **masks, "true_cfg_scale": 2.0, **sized()}


def _hunyuan_dit_arguments(n: int) -> dict[str, Any]:
    first = {**embedded(n), **masked(n, *MASKS)}
    second = {f"{name}_2": value for name, value in first.items()}
    return {**first, **second, **sized(), "use_resolution_binning": False}


def _qwen_vae() -> dict[str, Any]:
    """A latent of 32 x 32 pixels: pictures to be edited are of a megapixel, whatever is asked for."""
    from diffusers import AutoencoderKLQwenImage

    halved = {"dim_mult": [1] * 6, "num_res_blocks": 1, "temperal_downsample": [False] * 5, "base_dim": 3}
    vae = AutoencoderKLQwenImage(z_dim=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4, **halved)
    return {"vae": vae.eval()}


def _qwen_edit_arguments(n: int) -> dict[str, Any]:
    from PIL import Image

    shown = Image.new("RGB", (64, 64), (200, 90, 40))
    return {**_qwen_arguments(n), "image": shown, **sized(128)}


_QWEN = {
    **SMALL,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 4,
    "attention_head_dim": 16,
    "joint_attention_dim": 16,
    "axes_dims_rope": (8, 4, 4),
}

SYSTEMS = (
    tabled(
        "QwenImagePipeline",
        "QwenImageTransformer2DModel",
        _QWEN,
        name="qwen-image",
        title="Qwen-Image",
        arguments=_qwen_arguments,
    ),
    tabled(
        "QwenImageEditPipeline",
        "QwenImageTransformer2DModel",
        _QWEN,
        _qwen_vae,
        name="qwen-image-edit",
        title="Qwen-Image-Edit",
        arguments=_qwen_edit_arguments,
        resized={"height": 128, "width": 192},
        steps=4,
    ),
    tabled(
        "Flux2Pipeline",
        "Flux2Transformer2DModel",
        {**_FLUX2},
        name="flux2",
        title="Flux 2",
        arguments=lambda n: {"prompt_embeds": noise(n, TOKENS, 16), **sized()},
    ),
    tabled(
        "Flux2KleinPipeline",
        "Flux2Transformer2DModel",
        {**_FLUX2, "guidance_embeds": False},
        _flux2_vae,
        name="flux2-klein",
        title="Flux 2 klein",
        arguments=lambda n: {**embedded(n), **sized()},
    ),
    tabled(
        "ChromaPipeline",
        "ChromaTransformer2DModel",
        {
            **_STREAMS,
            "attention_head_dim": 16,
            "axes_dims_rope": (4, 4, 8),
            "approximator_hidden_dim": 16,
            "approximator_layers": 1,
            "approximator_num_channels": 16,
        },
        with_vae,
        name="chroma",
        title="Chroma",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS, kind=torch.bool), **sized()},
    ),
    tabled(
        "CogView4Pipeline",
        "CogView4Transformer2DModel",
        {**_COGVIEW},
        with_vae,
        name="cogview4",
        title="CogView 4",
        arguments=lambda n: {**embedded(n), **sized()},
    ),
    tabled(
        "CogView3PlusPipeline",
        "CogView3PlusTransformer2DModel",
        {**_COGVIEW, "pos_embed_max_size": 16, "sample_size": 8},
        _cogview3_parts,
        name="cogview3-plus",
        title="CogView 3 Plus",
        arguments=lambda n: {**embedded(n), **sized(16)},
    ),
    tabled(
        "SanaPipeline",
        "SanaTransformer2DModel",
        {
            **SMALL,
            **CHANNELS,
            "patch_size": 1,
            "attention_head_dim": 4,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 4,
            "cross_attention_dim": 8,
            "caption_channels": 16,
            "sample_size": 32,
        },
        name="sana",
        title="Sana",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS), **sized(128), **_PLAIN},
        resized={"height": 96, "width": 160},
    ),
    tabled(
        "AuraFlowPipeline",
        "AuraFlowTransformer2DModel",
        {
            **CHANNELS,
            "sample_size": 8,
            "patch_size": 2,
            "num_mmdit_layers": 2,
            "num_single_dit_layers": 3,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "caption_projection_dim": 16,
            "joint_attention_dim": 16,
            "pos_embed_max_size": 256,
        },
        with_vae,
        name="auraflow",
        title="AuraFlow",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS), **sized(16)},
    ),
    tabled(
        "HunyuanDiTPipeline",
        "HunyuanDiT2DModel",
        {
            "sample_size": 8,
            "num_layers": 8,
            "patch_size": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "in_channels": 4,
            "cross_attention_dim": 16,
            "cross_attention_dim_t5": 16,
            "pooled_projection_dim": 16,
            "hidden_size": 16,
            "text_len": TOKENS,
            "text_len_t5": TOKENS,
            "activation_fn": "gelu-approximate",
        },
        _hunyuan_dit_parts,
        name="hunyuan-dit",
        title="HunyuanDiT",
        arguments=_hunyuan_dit_arguments,
    ),
    tabled(
        "BriaPipeline",
        "BriaTransformer2DModel",
        {**_STREAMS, "attention_head_dim": 8, "pooled_projection_dim": None, "axes_dims_rope": [0, 4, 4]},
        _bria_vae,
        name="bria",
        title="Bria 3",
        arguments=lambda n: {**embedded(n), **sized()},
    ),
    tabled(
        "PRXPipeline",
        "PRXTransformer2DModel",
        {
            "patch_size": 1,
            "in_channels": 4,
            "context_in_dim": 16,
            "hidden_size": 8,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 3,
            "axes_dim": [2, 2],
        },
        with_vae,
        name="prx",
        title="PRX",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS, kind=torch.bool), **sized(), **_PLAIN},
        largest=1,
    ),
)
