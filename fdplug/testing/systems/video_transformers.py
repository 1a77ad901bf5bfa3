"""Text-to-video transformers of the table, at tiny size, from given embeddings."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.image_transformers import MASKS, TOKENS, assembled, embedded, masked, sized
from fdplug.testing.systems.system import System, noise


def _wan() -> Any:
    from diffusers import WanTransformer3DModel

    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=3,
        rope_max_seq_len=32,
    )
    return assembled("WanPipeline", transformer)


def _wan_5b() -> Any:
    pipe = _wan()
    pipe.register_to_config(expand_timesteps=True)
    return pipe


def _ltx() -> Any:
    from diffusers import LTXVideoTransformer3DModel

    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=3,
        caption_channels=16,
    )
    return assembled("LTXPipeline", transformer)


def _cogvideox() -> Any:
    from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=4,
        text_embed_dim=16,
        num_layers=3,
        sample_width=4,
        sample_height=4,
        sample_frames=5,
        max_text_seq_length=TOKENS,
        use_rotary_positional_embeddings=True,
    )
    return assembled("CogVideoXPipeline", transformer, scheduler=CogVideoXDDIMScheduler())


def _kandinsky5() -> Any:
    from diffusers import Kandinsky5Transformer3DModel

    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        in_text_dim=16,
        in_text_dim2=16,
        time_dim=16,
        out_visual_dim=4,
        patch_size=(1, 2, 2),
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=3,
        axes_dims=(2, 2, 4),
        visual_cond=False,
        attention_type="regular",
    )
    return assembled("Kandinsky5T2VPipeline", transformer)


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


def _allegro() -> Any:
    from diffusers import AllegroTransformer3DModel, DDIMScheduler

    transformer = AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=24,
        sample_width=8,
        sample_height=8,
        sample_frames=2,
        caption_channels=16,
    )
    return assembled("AllegroPipeline", transformer, scheduler=DDIMScheduler())


def _latte() -> Any:
    from diffusers import DDIMScheduler, LatteTransformer3DModel

    transformer = LatteTransformer3DModel(
        sample_size=8,
        num_layers=3,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=16,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        video_length=3,
    )
    return assembled("LattePipeline", transformer, vae=testing.tiny_vae(), scheduler=DDIMScheduler())


_RESIZED = {"height": 48, "width": 64}
_VIDEO = {"negative_prompt": None, "num_frames": 8, "clean_caption": False, **sized()}


SYSTEMS = (
    System(
        name="wan",
        title="Wan 2.1",
        pipeline="WanPipeline",
        build=_wan,
        arguments=lambda n: {**embedded(n, 16), "num_frames": 5, **sized()},
        resized=_RESIZED,
    ),
    System(
        name="wan-5b",
        title="Wan 2.2 5B, a timestep per token",
        pipeline="WanPipeline",
        build=_wan_5b,
        arguments=lambda n: {**embedded(n, 16), "num_frames": 5, **sized()},
        resized=_RESIZED,
    ),
    System(
        name="ltx-video",
        title="LTX-Video",
        pipeline="LTXPipeline",
        build=_ltx,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS), "num_frames": 9, **sized(64)},
        resized={"height": 96, "width": 64},
    ),
    System(
        name="cogvideox",
        title="CogVideoX",
        pipeline="CogVideoXPipeline",
        build=_cogvideox,
        arguments=lambda n: {**embedded(n, 16), "num_frames": 5, **sized()},
        resized=_RESIZED,
    ),
    System(
        name="kandinsky5",
        title="Kandinsky 5 video",
        pipeline="Kandinsky5T2VPipeline",
        build=_kandinsky5,
        arguments=_kandinsky5_arguments,
        resized=_RESIZED,
        parallel=False,
    ),
    System(
        name="allegro",
        title="Allegro",
        pipeline="AllegroPipeline",
        build=_allegro,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS), **_VIDEO},
        resized=_RESIZED,
    ),
    System(
        name="latte",
        title="Latte",
        pipeline="LattePipeline",
        build=_latte,
        arguments=lambda n: {**embedded(n, 16), "negative_prompt": None, "video_length": 3, **sized(16)},
        resized={"height": 24, "width": 32},
    ),
)
