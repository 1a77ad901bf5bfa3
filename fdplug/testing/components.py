"""Real diffusers classes at tiny size, with random weights: one Stable Diffusion, and what it is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WORDS = (
    "a",
    "small",
    "large",
    "red",
    "green",
    "blue",
    "circle",
    "square",
    "above",
    "below",
    "on",
    "gray",
    "background",
)


def tiny_tokenizer(length: int = 16) -> Any:
    """Return a real `CLIPTokenizer` that knows `WORDS` and the letters, for captions of `length` tokens."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def tiny_text_config(width: int = 16, length: int = 16, vocabulary: int = 54) -> Any:
    """Return the configuration of a CLIP text model of one layer; a projection, where there is one, keeps the width."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=length,
        projection_dim=width,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )


def tiny_text_encoder(width: int = 16, length: int = 16, vocabulary: int = 54) -> Any:
    """Return a real `CLIPTextModel` with random weights."""
    from transformers import CLIPTextModel

    return CLIPTextModel(tiny_text_config(width, length, vocabulary)).eval()


def tiny_unet(**changes: Any) -> Any:
    """Return a real `UNet2DConditionModel` with the layout of Stable Diffusion 1.x and random weights."""
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 8, 16, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**settings, **changes}).eval()


def tiny_vae() -> Any:
    """Return a real `AutoencoderKL` with random weights; latents are half as wide and high as images."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    ).eval()


def tiny_pipeline(seed: int = 0, **unet_changes: Any) -> Any:
    """Return a `StableDiffusionPipeline` of real classes, with random weights from `seed`, for 16 x 16 images."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {"unet": tiny_unet(**unet_changes), "vae": tiny_vae(), "text_encoder": tiny_text_encoder()}
    pipe = StableDiffusionPipeline(
        **parts,
        tokenizer=tiny_tokenizer(),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe: Any, prompt: str | list[str] | None = "a red circle", seed: int = 0, **arguments: Any) -> Tensor:
    """Run a text-to-image pipeline from a seed and return its latents, (B, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return pipe(prompt, generator=generator, output_type="latent", **{"num_inference_steps": 10, **arguments}).images
