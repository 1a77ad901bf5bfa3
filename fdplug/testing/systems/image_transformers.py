"""Text-to-image transformers of the table, at tiny size, from given embeddings."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.system import System, noise
from fdplug.testing.systems.transformers import randomized

TOKENS = 6


def assembled(pipeline: str, transformer: Any, **components: Any) -> Any:
    """Return a pipeline of a transformer with random weights; what it has besides and is not named here is absent."""
    import inspect

    import diffusers

    cls = getattr(diffusers, pipeline)
    named = {name for name, one in inspect.signature(cls).parameters.items() if one.default is one.empty}
    given = {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler(), **components}
    return cls(transformer=randomized(transformer), **{**dict.fromkeys(named - {"transformer"}), **given})


def embedded(n: int, width: int, tokens: int = TOKENS) -> dict[str, Any]:
    """Return prompt embeddings for n prompts, and the same negative ones for each."""
    return {
        "prompt_embeds": noise(n, tokens, width),
        "negative_prompt_embeds": noise(1, tokens, width, seed=99).expand(n, -1, -1),
    }


def masked(n: int, *names: str, kind: torch.dtype = torch.long) -> dict[str, Any]:
    """Return masks that leave the last token of every prompt out."""
    mask = torch.ones(n, TOKENS, dtype=kind)
    mask[:, -1] = 0
    return dict.fromkeys(names, mask)


MASKS = ("prompt_attention_mask", "negative_prompt_attention_mask")


def sized(size: int = 32) -> dict[str, Any]:
    """Return height, width and the wish for latents."""
    return {"height": size, "width": size, "output_type": "latent"}


def _qwen() -> Any:
    from diffusers import QwenImageTransformer2DModel

    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    return assembled("QwenImagePipeline", transformer)


def _qwen_arguments(n: int) -> dict[str, Any]:
    masks = masked(n, "prompt_embeds_mask", "negative_prompt_embeds_mask")
    return {**embedded(n, 16), **masks, "true_cfg_scale": 2.0, **sized()}


def _flux2() -> Any:
    from diffusers import Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 4, 4),
    )
    return assembled("Flux2Pipeline", transformer)


def _flux2_klein() -> Any:
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
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
    return assembled("Flux2KleinPipeline", transformer, vae=vae.eval())


def _chroma() -> Any:
    from diffusers import ChromaTransformer2DModel

    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
        approximator_hidden_dim=16,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    return assembled("ChromaPipeline", transformer, vae=testing.tiny_vae())


def _cogview4() -> Any:
    from diffusers import CogView4Transformer2DModel

    transformer = CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=16,
        time_embed_dim=8,
        condition_dim=4,
    )
    return assembled("CogView4Pipeline", transformer, vae=testing.tiny_vae())


def _cogview3() -> Any:
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusTransformer2DModel

    transformer = CogView3PlusTransformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=16,
        time_embed_dim=8,
        condition_dim=4,
        pos_embed_max_size=16,
        sample_size=8,
    )
    return assembled("CogView3PlusPipeline", transformer, vae=testing.tiny_vae(), scheduler=CogVideoXDDIMScheduler())


def _sana() -> Any:
    from diffusers import SanaTransformer2DModel

    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=16,
        sample_size=32,
    )
    return assembled("SanaPipeline", transformer)


def _auraflow() -> Any:
    from diffusers import AuraFlowTransformer2DModel

    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=2,
        num_single_dit_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=16,
        out_channels=4,
        pos_embed_max_size=256,
    )
    return assembled("AuraFlowPipeline", transformer, vae=testing.tiny_vae())


def _hunyuan_dit() -> Any:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel

    transformer = HunyuanDiT2DModel(
        sample_size=8,
        num_layers=8,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        cross_attention_dim=16,
        cross_attention_dim_t5=16,
        pooled_projection_dim=16,
        hidden_size=16,
        text_len=TOKENS,
        text_len_t5=TOKENS,
        activation_fn="gelu-approximate",
    )
    return assembled(
        "HunyuanDiTPipeline",
        transformer,
        scheduler=DDPMScheduler(),
        requires_safety_checker=False,
    )


def _hunyuan_dit_arguments(n: int) -> dict[str, Any]:
    second = {f"{name}_2": value for name, value in {**embedded(n, 16), **masked(n, *MASKS)}.items()}
    return {**embedded(n, 16), **masked(n, *MASKS), **second, **sized(), "use_resolution_binning": False}


def _bria() -> Any:
    from diffusers import BriaTransformer2DModel

    transformer = BriaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=None,
        axes_dims_rope=[0, 4, 4],
    )
    vae = testing.tiny_vae()
    vae.register_to_config(shift_factor=0)
    return assembled("BriaPipeline", transformer, vae=vae)


def _prx() -> Any:
    from diffusers import PRXTransformer2DModel

    transformer = PRXTransformer2DModel(
        patch_size=1,
        in_channels=4,
        context_in_dim=16,
        hidden_size=8,
        mlp_ratio=2.0,
        num_heads=2,
        depth=3,
        axes_dim=[2, 2],
    )
    return assembled("PRXPipeline", transformer, vae=testing.tiny_vae())


_PLAIN = {"negative_prompt": None, "use_resolution_binning": False}
_RESIZED = {"height": 48, "width": 64}

SYSTEMS = (
    System(
        name="qwen-image",
        title="Qwen-Image",
        pipeline="QwenImagePipeline",
        build=_qwen,
        arguments=_qwen_arguments,
        resized=_RESIZED,
    ),
    System(
        name="flux2",
        title="Flux 2",
        pipeline="Flux2Pipeline",
        build=_flux2,
        arguments=lambda n: {"prompt_embeds": noise(n, TOKENS, 16), **sized()},
        resized=_RESIZED,
    ),
    System(
        name="flux2-klein",
        title="Flux 2 klein",
        pipeline="Flux2KleinPipeline",
        build=_flux2_klein,
        arguments=lambda n: {**embedded(n, 16), **sized()},
        resized=_RESIZED,
    ),
    System(
        name="chroma",
        title="Chroma",
        pipeline="ChromaPipeline",
        build=_chroma,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS, kind=torch.bool), **sized()},
        resized=_RESIZED,
    ),
    System(
        name="cogview4",
        title="CogView 4",
        pipeline="CogView4Pipeline",
        build=_cogview4,
        arguments=lambda n: {**embedded(n, 16), **sized()},
        resized=_RESIZED,
        parallel=False,
    ),
    System(
        name="cogview3-plus",
        title="CogView 3 Plus",
        pipeline="CogView3PlusPipeline",
        build=_cogview3,
        arguments=lambda n: {**embedded(n, 16), **sized(16)},
        resized=_RESIZED,
    ),
    System(
        name="sana",
        title="Sana",
        pipeline="SanaPipeline",
        build=_sana,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS), **sized(128), **_PLAIN},
        resized={"height": 96, "width": 160},
    ),
    System(
        name="auraflow",
        title="AuraFlow",
        pipeline="AuraFlowPipeline",
        build=_auraflow,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS), **sized(16)},
        resized=_RESIZED,
    ),
    System(
        name="hunyuan-dit",
        title="HunyuanDiT",
        pipeline="HunyuanDiTPipeline",
        build=_hunyuan_dit,
        arguments=_hunyuan_dit_arguments,
        resized=_RESIZED,
    ),
    System(
        name="bria",
        title="Bria 3",
        pipeline="BriaPipeline",
        build=_bria,
        arguments=lambda n: {**embedded(n, 16), **sized()},
        resized=_RESIZED,
    ),
    System(
        name="prx",
        title="PRX",
        pipeline="PRXPipeline",
        build=_prx,
        largest=1,
        arguments=lambda n: {**embedded(n, 16), **masked(n, *MASKS, kind=torch.bool), **sized(), **_PLAIN},
        resized=_RESIZED,
    ),
)
