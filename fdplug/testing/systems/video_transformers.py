"""Text-to-video transformers of the table, at tiny size, from given embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.from_embeddings import (
    CHANNELS,
    MASKS,
    SMALL,
    TOKENS,
    assembled,
    embedded,
    masked,
    sized,
    tabled,
)
from fdplug.testing.systems.system import noise, picture
from fdplug.testing.systems.transformers import randomized

_VIDEO = {"negative_prompt": None, "num_frames": 8, "clean_caption": False, **sized()}


def _cogvideox_scheduler() -> dict[str, Any]:
    from diffusers import CogVideoXDDIMScheduler

    return {"scheduler": CogVideoXDDIMScheduler()}


def _ddim() -> dict[str, Any]:
    from diffusers import DDIMScheduler

    return {"scheduler": DDIMScheduler()}


def _latte_parts() -> dict[str, Any]:
    return {"vae": testing.tiny_vae(), **_ddim()}


def _kandinsky5_arguments(n: int) -> dict[str, Any]:
    lengths = torch.arange(0, TOKENS * (n + 1), TOKENS, dtype=torch.int32)
    return {
        "prompt_embeds_qwen": noise(n, TOKENS, 16),
        "negative_prompt_embeds_qwen": noise(1, TOKENS, 16, seed=99).expand(n, -1, -1),
        "prompt_embeds_clip": noise(n, 16),
        "negative_prompt_embeds_clip": noise(1, 16, seed=99).expand(n, -1),
        "prompt_cu_seqlens": lengths,
        "negative_prompt_cu_seqlens": lengths,
        "num_frames": 5,
        **sized(),
    }


def _wan_5b() -> Any:
    pipe = _WAN.build()
    pipe.register_to_config(expand_timesteps=True)
    return pipe


_WAN_CONFIG = {
    **SMALL,
    **CHANNELS,
    "patch_size": (1, 2, 2),
    "attention_head_dim": 12,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 32,
    "rope_max_seq_len": 32,
}
_WAN = tabled(
    "WanPipeline",
    "WanTransformer3DModel",
    _WAN_CONFIG,
    name="wan",
    title="Wan 2.1",
    arguments=lambda n: {**embedded(n), "num_frames": 5, **sized()},
)


def _wan_a14b(pipeline: str = "WanPipeline", **config: Any) -> Any:
    """Return a pipeline whose run goes over from one transformer to another of other weights."""
    from diffusers import WanTransformer3DModel

    first, second = (WanTransformer3DModel(**{**_WAN_CONFIG, **config}) for _ in range(2))
    return assembled(pipeline, first, transformer_2=randomized(second), boundary_ratio=0.6)


def _wan_a14b_i2v() -> Any:
    pipe = _wan_a14b("WanImageToVideoPipeline", in_channels=12, out_channels=4)
    pipe.register_modules(vae=wan_vae())
    return pipe


def _wan_i2v_arguments(n: int) -> dict[str, Any]:
    return {**embedded(n), "image": picture(1, 32), "num_frames": 5, **sized()}


def wan_vae() -> Any:
    """Return the VAE of Wan at tiny size."""
    from diffusers import AutoencoderKLWan

    small = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]}
    return AutoencoderKLWan(z_dim=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4, **small).eval()


def _wan_vace() -> Any:
    """The last block is one of those that the control is added to."""
    from diffusers import WanVACETransformer3DModel

    vace = {"vace_layers": [0, 2], "vace_in_channels": 72, "in_channels": 4, "out_channels": 4}
    return assembled("WanVACEPipeline", WanVACETransformer3DModel(**{**_WAN_CONFIG, **vace}), vae=wan_vae())


def _wan_vace_arguments(n: int) -> dict[str, Any]:
    from PIL import Image

    frames = [Image.new("RGB", (32, 32), (40 * number, 90, 200 - 30 * number)) for number in range(5)]
    masks = [Image.new("L", (32, 32), 255 * (number > 1)) for number in range(5)]
    return {**embedded(n), "video": frames, "mask": masks, "num_frames": 5, **sized()}


_WAN_A14B = replace(_WAN, name="wan-a14b", title="Wan 2.2 A14B, two transformers", build=_wan_a14b)

SYSTEMS = (
    _WAN,
    replace(_WAN, name="wan-5b", title="Wan 2.2 5B, a timestep per token", build=_wan_5b),
    _WAN_A14B,
    replace(
        _WAN_A14B,
        name="wan-a14b-i2v",
        title="Wan 2.2 A14B image to video, two transformers",
        pipeline="WanImageToVideoPipeline",
        build=_wan_a14b_i2v,
        arguments=_wan_i2v_arguments,
    ),
    replace(
        _WAN,
        name="wan-vace",
        title="Wan VACE: videos from videos and masks",
        pipeline="WanVACEPipeline",
        build=_wan_vace,
        arguments=_wan_vace_arguments,
        largest=1,
        resized={},
    ),
    tabled(
        "LTXPipeline",
        "LTXVideoTransformer3DModel",
        {
            **SMALL,
            "in_channels": 8,
            "out_channels": 8,
            "attention_head_dim": 8,
            "cross_attention_dim": 16,
            "caption_channels": 16,
        },
        name="ltx-video",
        title="LTX-Video",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS), "num_frames": 9, **sized(64)},
        resized={"height": 96, "width": 64},
    ),
    tabled(
        "CogVideoXPipeline",
        "CogVideoXTransformer3DModel",
        {
            **SMALL,
            **CHANNELS,
            "attention_head_dim": 16,
            "time_embed_dim": 4,
            "text_embed_dim": 16,
            "sample_width": 4,
            "sample_height": 4,
            "sample_frames": 5,
            "max_text_seq_length": TOKENS,
            "use_rotary_positional_embeddings": True,
        },
        _cogvideox_scheduler,
        name="cogvideox",
        title="CogVideoX",
        arguments=lambda n: {**embedded(n), "num_frames": 5, **sized()},
    ),
    tabled(
        "Kandinsky5T2VPipeline",
        "Kandinsky5Transformer3DModel",
        {
            "in_visual_dim": 4,
            "in_text_dim": 16,
            "in_text_dim2": 16,
            "time_dim": 16,
            "out_visual_dim": 4,
            "patch_size": (1, 2, 2),
            "model_dim": 16,
            "ff_dim": 32,
            "num_text_blocks": 1,
            "num_visual_blocks": 3,
            "axes_dims": (2, 2, 4),
            "visual_cond": False,
            "attention_type": "regular",
        },
        name="kandinsky5",
        title="Kandinsky 5 video",
        arguments=_kandinsky5_arguments,
    ),
    tabled(
        "AllegroPipeline",
        "AllegroTransformer3DModel",
        {
            **SMALL,
            **CHANNELS,
            "attention_head_dim": 12,
            "cross_attention_dim": 24,
            "sample_width": 8,
            "sample_height": 8,
            "sample_frames": 2,
            "caption_channels": 16,
        },
        _ddim,
        name="allegro",
        title="Allegro",
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS), **_VIDEO},
    ),
    tabled(
        "LattePipeline",
        "LatteTransformer3DModel",
        {
            **SMALL,
            "sample_size": 8,
            "patch_size": 2,
            "attention_head_dim": 8,
            "caption_channels": 16,
            "in_channels": 4,
            "cross_attention_dim": 16,
            "out_channels": 8,
            "attention_bias": True,
            "activation_fn": "gelu-approximate",
            "num_embeds_ada_norm": 1000,
            "norm_type": "ada_norm_single",
            "norm_elementwise_affine": False,
            "video_length": 3,
        },
        _latte_parts,
        name="latte",
        title="Latte",
        arguments=lambda n: {**embedded(n), "negative_prompt": None, "video_length": 3, **sized(16)},
        resized={"height": 24, "width": 32},
    ),
)
