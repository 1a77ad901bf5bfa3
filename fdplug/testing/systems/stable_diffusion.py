"""Stable Diffusion 1.x and 2.x and what is built on it, at tiny size."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.system import System, noise, picture, words

SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def stable_diffusion(pipeline: str = "StableDiffusionPipeline", scheduler: Any = None, **unet: Any) -> Any:
    """Return a pipeline of the Stable Diffusion kind."""
    import diffusers

    pipe = testing.tiny_pipeline(**{**SMALL, **unet})
    if scheduler is not None:
        pipe.scheduler = scheduler
    components = {**pipe.components, "requires_safety_checker": False}
    return getattr(diffusers, pipeline)(**components)


def text_to_image(n: int) -> dict[str, Any]:
    """Return the arguments of a text-to-image call."""
    return {"prompt": words(n), "height": 16, "width": 16, "output_type": "latent"}


def _image_to_image(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "image": picture(n), "strength": 0.7, "output_type": "latent"}


def _inpaint(n: int) -> dict[str, Any]:
    mask = torch.zeros(n, 1, 16, 16)
    mask[..., :8] = 1
    return {**_image_to_image(n), "mask_image": mask, "height": 16, "width": 16}


def _marigold() -> Any:
    """Depth from a picture, by a U-Net that is handed the picture's latents beside the noisy ones."""
    from diffusers import MarigoldDepthPipeline

    pipe = testing.tiny_pipeline(**SMALL, in_channels=8)
    kept = {name: pipe.components[name] for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    return MarigoldDepthPipeline(
        **kept, prediction_type="depth", default_denoising_steps=6, default_processing_resolution=16
    )


def _marigold_arguments(n: int) -> dict[str, Any]:
    return {"image": picture(n), "output_type": "pt", "batch_size": n}


def _four_levels() -> Any:
    import diffusers

    pipe = testing.tiny_pipeline()
    return diffusers.StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)


def _v_prediction() -> Any:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return stable_diffusion(scheduler=scheduler, use_linear_projection=True)


def _deci() -> Any:
    """Three levels with different numbers of layers and attentions, as a searched architecture has."""
    return stable_diffusion(
        block_out_channels=(8, 16, 16),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=(2, 1, 3),
        transformer_layers_per_block=(1, 2, 1),
    )


def _custom_diffusion(pipe: Any) -> None:
    from diffusers.models.attention_processor import CustomDiffusionAttnProcessor2_0

    def processor(name: str) -> Any:
        module = pipe.unet.get_submodule(name.removesuffix(".processor"))
        width = module.to_k.in_features if ".attn2." in name else None
        return CustomDiffusionAttnProcessor2_0(
            train_kv=width is not None,
            train_q_out=False,
            hidden_size=module.to_q.in_features,
            cross_attention_dim=width,
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        pipe.unet.set_attn_processor({name: processor(name) for name in pipe.unet.attn_processors})


def ip_adapter(pipe: Any, width: int = 16, tokens: int = 4) -> None:
    """Load an IP-Adapter with random weights: one more pair of keys and values per cross attention."""
    generator = torch.Generator().manual_seed(2)

    def weights(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / 4

    attentions: dict[str, torch.Tensor] = {}
    for index, name in enumerate(pipe.unet.attn_processors):
        if ".attn2." in name:
            rows = pipe.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            attentions[f"{index}.to_k_ip.weight"] = weights(rows, width)
            attentions[f"{index}.to_v_ip.weight"] = weights(rows, width)
    image_proj = {
        "proj.weight": weights(tokens * width, 8),
        "proj.bias": weights(tokens * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    pipe.unet._load_ip_adapter_weights([{"image_proj": image_proj, "ip_adapter": attentions}])


def _with_image_prompt(n: int) -> dict[str, Any]:
    embeds = noise(1, 1, 8)  # one picture for the whole batch: the pipeline repeats it
    return {**text_to_image(n), "ip_adapter_image_embeds": [torch.cat([torch.zeros_like(embeds), embeds])]}


def _t2i_adapter() -> Any:
    from diffusers import StableDiffusionAdapterPipeline, T2IAdapter

    components = dict(testing.tiny_pipeline().components)
    del components["image_encoder"]
    adapter = T2IAdapter(channels=[8, 8, 16, 16], num_res_blocks=1, downscale_factor=2, adapter_type="full_adapter")
    return StableDiffusionAdapterPipeline(**components, adapter=adapter.eval(), requires_safety_checker=False)


def _lcm() -> Any:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    pipe = testing.tiny_pipeline(**SMALL, time_cond_proj_dim=16)
    components = {**pipe.components, "scheduler": LCMScheduler(beta_schedule="scaled_linear")}
    return LatentConsistencyModelPipeline(**components, requires_safety_checker=False)


def _upscaler() -> Any:
    from diffusers import DDPMScheduler, StableDiffusionUpscalePipeline

    pipe = testing.tiny_pipeline(**SMALL, in_channels=7, num_class_embeds=1000, only_cross_attention=(True, False))
    kept = {name: pipe.components[name] for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    pipe.vae.register_to_config(scaling_factor=0.08333)
    return StableDiffusionUpscalePipeline(**kept, low_res_scheduler=DDPMScheduler())


def _upscale(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "image": picture(n, 8), "noise_level": 20, "output_type": "latent"}


def _text_to_video_zero() -> Any:
    from diffusers import TextToVideoZeroPipeline

    pipe = testing.tiny_pipeline(**SMALL)
    kept = {name: pipe.components[name] for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    return TextToVideoZeroPipeline(**kept, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def _frames(n: int) -> dict[str, Any]:
    return {
        "prompt": words(1)[0],
        "height": 16,
        "width": 16,
        "video_length": 3,
        "t0": 3,
        "t1": 5,
        "output_type": "latent",
    }


_RESIZED = {"height": 24, "width": 32}

SYSTEMS = (
    System(
        name="sd",
        title="Stable Diffusion 1.x",
        pipeline="StableDiffusionPipeline",
        build=_four_levels,
        arguments=text_to_image,
        resized=_RESIZED,
        also="DreamBooth: other weights; merged LoRA weights",
    ),
    System(
        name="sd-v",
        title="Stable Diffusion 2.x, v-prediction",
        pipeline="StableDiffusionPipeline",
        build=_v_prediction,
        arguments=text_to_image,
        resized=_RESIZED,
    ),
    System(
        name="sd-img2img",
        title="Stable Diffusion image-to-image",
        pipeline="StableDiffusionImg2ImgPipeline",
        build=lambda: stable_diffusion("StableDiffusionImg2ImgPipeline"),
        arguments=_image_to_image,
        resized={"image": picture(1, 24)},
        steps=9,
    ),
    System(
        name="sd-inpaint",
        title="Stable Diffusion inpainting, 9-channel model",
        pipeline="StableDiffusionInpaintPipeline",
        build=lambda: stable_diffusion("StableDiffusionInpaintPipeline", in_channels=9),
        arguments=_inpaint,
        resized=_RESIZED,
        steps=9,
    ),
    System(
        name="sd-ip-adapter",
        title="Stable Diffusion with an IP-Adapter",
        pipeline="StableDiffusionPipeline",
        build=stable_diffusion,
        arguments=_with_image_prompt,
        prepare=ip_adapter,
        resized=_RESIZED,
    ),
    System(
        name="sd-t2i-adapter",
        title="Stable Diffusion with a T2I-Adapter",
        pipeline="StableDiffusionAdapterPipeline",
        build=_t2i_adapter,
        arguments=lambda n: {**text_to_image(n), "image": picture(n)},
        resized={"height": 32, "width": 32, "image": picture(1, 32)},
    ),
    System(
        name="custom-diffusion",
        title="Custom Diffusion",
        pipeline="StableDiffusionPipeline",
        build=stable_diffusion,
        arguments=text_to_image,
        prepare=_custom_diffusion,
        resized=_RESIZED,
        key_set="personalized",
    ),
    System(
        name="deci-diffusion",
        title="DeciDiffusion: a searched U-Net",
        pipeline="StableDiffusionPipeline",
        build=_deci,
        arguments=text_to_image,
        resized=_RESIZED,
    ),
    System(
        name="lcm",
        title="Latent consistency model",
        pipeline="LatentConsistencyModelPipeline",
        build=_lcm,
        arguments=text_to_image,
        resized=_RESIZED,
    ),
    System(
        name="sd-x4-upscaler",
        title="Stable Diffusion x4 upscaler (DeepFloyd-IF, stage III)",
        pipeline="StableDiffusionUpscalePipeline",
        build=_upscaler,
        arguments=_upscale,
        resized={"image": picture(1, 12)},
        key_set="if-3",
    ),
    System(
        name="text2video-zero",
        title="Text2Video-Zero",
        pipeline="TextToVideoZeroPipeline",
        build=_text_to_video_zero,
        arguments=_frames,
        resized=_RESIZED,
        steps=10,
        largest=1,
        parallel=False,
    ),
    System(
        name="marigold",
        title="Marigold depth",
        pipeline="MarigoldDepthPipeline",
        build=_marigold,
        arguments=_marigold_arguments,
        resized={"image": picture(1, 32), "processing_resolution": 32},
        also="normals and intrinsic images: the same U-Net",
    ),
)
