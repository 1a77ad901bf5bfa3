"""Text-to-image transformers that read text and picture as one sequence, at tiny size, from given embeddings."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.from_embeddings import MASKS, TOKENS, assembled, embedded, masked, sized
from fdplug.testing.systems.system import System, noise


def _z_image() -> Any:
    from diffusers import ZImageTransformer2DModel

    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=3,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 2, 2],
        axes_lens=[128, 16, 16],
    )
    return assembled("ZImagePipeline", transformer)


def _z_image_arguments(n: int) -> dict[str, Any]:
    """Prompts are lists of embeddings, here of different lengths."""
    prompts = [noise(1, TOKENS + 30 * index, 16, seed=7 + index)[0] for index in range(n)]
    return {"prompt_embeds": prompts, "negative_prompt_embeds": [noise(1, TOKENS, 16, seed=99)[0]] * n, **sized()}


def _lumina2() -> Any:
    from diffusers import Lumina2Transformer2DModel

    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=8,
        num_layers=3,
        num_refiner_layers=1,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        scaling_factor=1.0,
        axes_dim_rope=(4, 2, 2),
        cap_feat_dim=16,
    )
    return assembled("Lumina2Pipeline", transformer, vae=testing.tiny_vae())


def _hidream() -> Any:
    from diffusers import HiDreamImageTransformer2DModel

    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=[16, 16],
        text_emb_dim=16,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(32, 32),
        llama_layers=(0, 1, 2, 3),
    )
    pipe = assembled("HiDreamImagePipeline", transformer, vae=testing.tiny_vae())
    _small(pipe)
    return pipe


def _small(pipe: Any) -> None:
    """Let HiDream make small pictures: it scales every size up to that of its default."""
    pipe.default_sample_size = 8


def _hidream_arguments(n: int) -> dict[str, Any]:
    layers = torch.stack([noise(n, TOKENS, 16, seed=20 + layer) for layer in range(4)])
    negative = noise(4, 1, TOKENS, 16, seed=40).expand(-1, n, -1, -1)
    return {
        "prompt_embeds_t5": noise(n, TOKENS, 16),
        "negative_prompt_embeds_t5": noise(1, TOKENS, 16, seed=99).expand(n, -1, -1),
        "prompt_embeds_llama3": layers,
        "negative_prompt_embeds_llama3": negative,
        "pooled_prompt_embeds": noise(n, 16),
        "negative_pooled_prompt_embeds": noise(1, 16, seed=99).expand(n, -1),
        **sized(),
    }


def _hunyuan_image() -> Any:
    from diffusers import HunyuanImageTransformer2DModel
    from diffusers.guiders import AdaptiveProjectedMixGuidance

    transformer = HunyuanImageTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_single_layers=3,
        num_refiner_layers=1,
        text_embed_dim=16,
        text_embed_2_dim=16,
        rope_axes_dim=(4, 4),
    )
    return assembled("HunyuanImagePipeline", transformer, guider=AdaptiveProjectedMixGuidance())


def _hunyuan_image_arguments(n: int) -> dict[str, Any]:
    masks = masked(n, "prompt_embeds_mask", "negative_prompt_embeds_mask")
    given = {**embedded(n), **masks}
    return {**given, **{f"{name}_2": value for name, value in given.items()}, **sized(128)}


_RESIZED = {"height": 48, "width": 64}

SYSTEMS = (
    System(
        name="z-image",
        title="Z-Image",
        pipeline="ZImagePipeline",
        build=_z_image,
        arguments=_z_image_arguments,
        resized=_RESIZED,
    ),
    System(
        name="hunyuan-image",
        title="HunyuanImage 2.1",
        pipeline="HunyuanImagePipeline",
        build=_hunyuan_image,
        arguments=_hunyuan_image_arguments,
        resized={"height": 96, "width": 128},
    ),
    System(
        name="lumina2",
        title="Lumina 2",
        pipeline="Lumina2Pipeline",
        build=_lumina2,
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS, kind=torch.bool), **sized()},
        resized=_RESIZED,
    ),
    System(
        name="hidream",
        title="HiDream I1",
        pipeline="HiDreamImagePipeline",
        build=_hidream,
        arguments=_hidream_arguments,
        prepare=_small,
        resized=_RESIZED,
    ),
)
