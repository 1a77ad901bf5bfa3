"""SDXL base, image-to-image and refiner, at tiny size."""

from __future__ import annotations

from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.stable_diffusion import SMALL, text_to_image
from fdplug.testing.systems.system import System, noise, picture, words


def text_encoder_with_projection(width: int = 16, length: int = 16, vocabulary: int = 54) -> Any:
    """Return a real `CLIPTextModelWithProjection` with random weights."""
    from transformers import CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(testing.tiny_text_config(width, length, vocabulary)).eval()


def components(refiner: bool = False, **unet_changes: Any) -> dict[str, Any]:
    """Return the components of SDXL; the refiner has one text encoder and five numbers of size conditioning."""
    from diffusers import EulerDiscreteScheduler

    ids, width = (5, 16) if refiner else (6, 32)
    settings: dict[str, Any] = {
        **SMALL,
        "cross_attention_dim": width,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 8 * ids,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
    }
    unet = testing.tiny_unet(**{**settings, **unet_changes})
    return {
        "unet": unet,
        "vae": testing.tiny_vae(),
        "text_encoder": None if refiner else testing.tiny_text_encoder(),
        "text_encoder_2": text_encoder_with_projection(),
        "tokenizer": None if refiner else testing.tiny_tokenizer(),
        "tokenizer_2": testing.tiny_tokenizer(),
        "scheduler": EulerDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
    }


def _base() -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline(**components(), add_watermarker=False)


def _image_to_image() -> Any:
    from diffusers import StableDiffusionXLImg2ImgPipeline

    return StableDiffusionXLImg2ImgPipeline(**components(), add_watermarker=False)


def _refiner() -> Any:
    from diffusers import StableDiffusionXLImg2ImgPipeline

    return StableDiffusionXLImg2ImgPipeline(
        **components(refiner=True), add_watermarker=False, requires_aesthetics_score=True
    )


def _kolors() -> Any:
    """SDXL with the text of ChatGLM, which is given as embeddings: its tokenizer cannot be had at tiny size."""
    from diffusers import KolorsPipeline

    parts = components(encoder_hid_dim=24, encoder_hid_dim_type="text_proj")
    kept = {name: parts[name] for name in ("unet", "vae", "scheduler")}
    return KolorsPipeline(**kept, text_encoder=None, tokenizer=None)


def _kolors_arguments(n: int) -> dict[str, Any]:
    text = {"prompt_embeds": noise(n, 6, 24), "pooled_prompt_embeds": noise(n, 16)}
    negative = {
        "negative_prompt_embeds": noise(1, 6, 24, seed=99).expand(n, -1, -1),
        "negative_pooled_prompt_embeds": noise(1, 16, seed=98).expand(n, -1),
    }
    return {**text, **negative, "height": 16, "width": 16, "output_type": "latent"}


def _from_image(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "image": picture(n), "strength": 0.7, "output_type": "latent"}


def _from_latents(n: int) -> dict[str, Any]:
    """The refiner takes over at 0.4 of the schedule."""
    latents = torch.cat([picture(n, 8), picture(n, 8)[:, :1]], dim=1)
    return {"prompt": words(n), "image": latents, "denoising_start": 0.4, "output_type": "latent"}


SYSTEMS = (
    System(
        name="sdxl",
        title="SDXL base",
        pipeline="StableDiffusionXLPipeline",
        build=_base,
        arguments=text_to_image,
        resized={"height": 24, "width": 32},
        also="SDXL-Turbo: the same classes",
    ),
    System(
        name="sdxl-img2img",
        title="SDXL image-to-image",
        pipeline="StableDiffusionXLImg2ImgPipeline",
        build=_image_to_image,
        arguments=_from_image,
        resized={"image": picture(1, 24)},
        steps=9,
    ),
    System(
        name="sdxl-refiner",
        title="SDXL refiner",
        pipeline="StableDiffusionXLImg2ImgPipeline",
        build=_refiner,
        arguments=_from_latents,
        steps=10,
    ),
)
KOLORS = System(
    name="kolors",
    title="Kolors",
    pipeline="KolorsPipeline",
    build=_kolors,
    arguments=_kolors_arguments,
    resized={"height": 24, "width": 32},
)
"""Not among the others: diffusers' pipeline is there only where sentencepiece is installed."""
