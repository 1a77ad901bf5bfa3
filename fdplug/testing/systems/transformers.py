"""Diffusion transformers: DiT, PixArt, Stable Diffusion 3 and Flux, at tiny size."""

from __future__ import annotations

from typing import Any

from fdplug import testing
from fdplug.testing.systems.stable_diffusion_xl import text_encoder_with_projection
from fdplug.testing.systems.system import System, noise, picture, words


def _dit() -> Any:
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=5,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_zero",
        norm_elementwise_affine=False,
    )
    return DiTPipeline(
        transformer=randomized(transformer), vae=testing.tiny_vae(), scheduler=DDIMScheduler(clip_sample=False)
    )


def randomized(transformer: Any) -> Any:
    """Give parameters that start as zeros random values: with them, every block would be the identity."""
    import torch

    for parameter in transformer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return transformer.eval()


def _pixart(with_sizes: bool = True) -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    transformer = PixArtTransformer2DModel(
        sample_size=128,  # pipelines hand over sizes to a model of this size only
        num_layers=4,
        patch_size=2,
        attention_head_dim=6,  # times heads: a multiple of 3 and of 4
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=12,
        caption_channels=16,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        use_additional_conditions=with_sizes,
    )
    return PixArtAlphaPipeline(
        transformer=randomized(transformer),
        vae=testing.tiny_vae(),
        tokenizer=None,
        text_encoder=None,
        scheduler=DPMSolverMultistepScheduler(),
    )


def _pixart_sigma() -> Any:
    from diffusers import PixArtSigmaPipeline

    return PixArtSigmaPipeline(**_pixart(with_sizes=False).components)


def _captioned(n: int) -> dict[str, Any]:
    import torch

    return {
        "prompt": None,
        "negative_prompt": None,
        "prompt_embeds": noise(n, 6, 16),
        "prompt_attention_mask": torch.ones(n, 6),
        "negative_prompt_embeds": noise(1, 6, 16, seed=99).expand(n, -1, -1),
        "negative_prompt_attention_mask": torch.ones(n, 6),
        "use_resolution_binning": False,
        "height": 16,
        "width": 16,
        "output_type": "latent",
    }


def _sd3_components() -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=16,
    )
    return {
        "transformer": randomized(transformer),
        "vae": testing.tiny_vae(),
        "text_encoder": text_encoder_with_projection(),
        "text_encoder_2": text_encoder_with_projection(),
        "text_encoder_3": None,
        "tokenizer": testing.tiny_tokenizer(),
        "tokenizer_2": testing.tiny_tokenizer(),
        "tokenizer_3": None,
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def _sd3() -> Any:
    from diffusers import StableDiffusion3Pipeline

    return StableDiffusion3Pipeline(**_sd3_components())


def _sd3_controlnet() -> Any:
    from diffusers import SD3ControlNetModel, StableDiffusion3ControlNetPipeline

    parts = _sd3_components()
    config = {**parts["transformer"].config, "num_layers": 2, "extra_conditioning_channels": 0}
    return StableDiffusion3ControlNetPipeline(**parts, controlnet=randomized(SD3ControlNetModel.from_config(config)))


def flux_transformer(**changes: Any) -> Any:
    """Return a real `FluxTransformer2DModel` with random weights."""
    from diffusers import FluxTransformer2DModel

    settings: dict[str, Any] = {
        "patch_size": 1,
        "in_channels": 16,
        "num_layers": 2,
        "num_single_layers": 3,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
        "axes_dims_rope": (4, 4, 8),
        "guidance_embeds": True,
    }
    return randomized(FluxTransformer2DModel(**{**settings, **changes}))


def flux_components() -> dict[str, Any]:
    """Return what Flux's pipelines have in common; prompts come as embeddings."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    absent = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    return {
        "transformer": flux_transformer(),
        "vae": testing.tiny_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        **absent,
    }


def _flux() -> Any:
    from diffusers import FluxPipeline

    return FluxPipeline(**flux_components())


def _flux_controlnet() -> Any:
    from diffusers import FluxControlNetModel, FluxControlNetPipeline

    parts = flux_components()
    parts["vae"].register_to_config(shift_factor=0.1)
    config = {**parts["transformer"].config, "num_layers": 1, "num_single_layers": 1}
    return FluxControlNetPipeline(**parts, controlnet=randomized(FluxControlNetModel.from_config(config)))


def _flowing(n: int) -> dict[str, Any]:
    """Guided by separate calls for the two prompts, as `true_cfg_scale` does."""
    return {
        "prompt_embeds": noise(n, 6, 16),
        "pooled_prompt_embeds": noise(n, 16),
        "negative_prompt_embeds": noise(1, 6, 16, seed=99).expand(n, -1, -1),
        "negative_pooled_prompt_embeds": noise(1, 16, seed=99).expand(n, -1),
        "true_cfg_scale": 2.0,
        "height": 16,
        "width": 16,
        "output_type": "latent",
    }


_RESIZED = {"height": 24, "width": 32}

SYSTEMS = (
    System(
        name="dit",
        title="DiT-XL/2, 256 and 512 pixels",
        pipeline="DiTPipeline",
        build=_dit,
        arguments=lambda n: {"class_labels": [3, 500][:n], "output_type": "np"},
        key_set="dit",
    ),
    System(
        name="pixart",
        title="PixArt-alpha",
        pipeline="PixArtAlphaPipeline",
        build=_pixart,
        arguments=_captioned,
        resized=_RESIZED,
    ),
    System(
        name="pixart-sigma",
        title="PixArt-sigma",
        pipeline="PixArtSigmaPipeline",
        build=_pixart_sigma,
        arguments=_captioned,
        resized=_RESIZED,
    ),
    System(
        name="sd3",
        title="Stable Diffusion 3",
        pipeline="StableDiffusion3Pipeline",
        build=_sd3,
        arguments=lambda n: {"prompt": words(n), "height": 16, "width": 16, "output_type": "latent"},
        resized=_RESIZED,
    ),
    System(
        name="sd3-controlnet",
        title="ControlNet for Stable Diffusion 3",
        pipeline="StableDiffusion3ControlNetPipeline",
        build=_sd3_controlnet,
        arguments=lambda n: {
            "prompt": words(n),
            "control_image": picture(n),
            "height": 16,
            "width": 16,
            "output_type": "latent",
        },
        resized={"height": 32, "width": 32, "control_image": picture(1, 32)},
    ),
    System(
        name="flux-controlnet",
        title="ControlNet for Flux",
        pipeline="FluxControlNetPipeline",
        build=_flux_controlnet,
        arguments=lambda n: {**_flowing(n), "control_image": picture(n), "true_cfg_scale": 1.0},
        resized={"height": 32, "width": 32, "control_image": picture(1, 32)},
    ),
    System(
        name="flux",
        title="Flux, guided by separate calls",
        pipeline="FluxPipeline",
        build=_flux,
        arguments=_flowing,
        resized=_RESIZED,
    ),
)
