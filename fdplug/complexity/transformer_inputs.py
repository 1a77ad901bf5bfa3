"""What transformers of the table are called with: tensors without values, of the sizes in which people run them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

Builder = Callable[[Any, int, int | None], dict[str, Any]]

LATENT = 128  # height and width of the latents of a picture of 1024 x 1024
TOKENS = 512  # of a prompt


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _text(rows: int, width: int, tokens: int = TOKENS) -> dict[str, Any]:
    return {"timestep": _empty(rows), "encoder_hidden_states": _empty(rows, tokens, width)}


def _mask(rows: int, tokens: int = TOKENS) -> Tensor:
    return torch.empty(rows, tokens, device="meta", dtype=torch.bool)


def _film(config: Any, rows: int, size: int | None, frames: int, height: int, width: int) -> Tensor:
    return _empty(rows, config.in_channels, frames, size or height, size or width)


def _packed(rows: int, size: int | None, channels: int, axes: int) -> dict[str, Any]:
    """Return a picture's tokens, each of 2 x 2 latents, and the places of picture and text."""
    tokens = ((size or LATENT) // 2) ** 2
    return {
        "hidden_states": _empty(rows, tokens, channels),
        "img_ids": _empty(tokens, axes),
        "txt_ids": _empty(TOKENS, axes),
    }


def _qwen(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    side = (size or LATENT) // 2
    return {
        "hidden_states": _empty(rows, side * side, config.in_channels),
        "img_shapes": [[(1, side, side)]] * rows,
        **_text(rows, config.joint_attention_dim),
    }


def _flux2(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    guidance = _empty(rows) if config.guidance_embeds else None
    return {
        **_packed(rows, size, config.in_channels, 4),
        **_text(rows, config.joint_attention_dim),
        "guidance": guidance,
    }


def _chroma(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    return {**_packed(rows, size, config.in_channels, 3), **_text(rows, config.joint_attention_dim)}


def _wan(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    return {"hidden_states": _film(config, rows, size, 21, 60, 104), **_text(rows, config.text_dim)}


def _ltx(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    shape = (16, size or 16, size or 24)
    return {
        "hidden_states": _empty(rows, prod(shape), config.in_channels),
        **_text(rows, config.caption_channels, 128),
        "encoder_attention_mask": _mask(rows, 128),
        **dict(zip(("num_frames", "height", "width"), shape, strict=True)),
    }


def _hunyuan_video(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    return {
        "hidden_states": _film(config, rows, size, 16, 40, 64),
        **_text(rows, config.text_embed_dim, 256),
        "encoder_attention_mask": _mask(rows, 256),
        "pooled_projections": _empty(rows, config.pooled_projection_dim),
        "guidance": _empty(rows) if config.guidance_embeds else None,
    }


def _cogvideox(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    height, width = size or config.sample_height, size or config.sample_width
    frames = (config.sample_frames - 1) // config.temporal_compression_ratio + 1
    tokens = frames * (height // config.patch_size) * (width // config.patch_size)
    turn = _empty(tokens, config.attention_head_dim)
    return {
        "hidden_states": _empty(rows, frames, config.in_channels, height, width),
        **_text(rows, config.text_embed_dim, config.max_text_seq_length),
        "image_rotary_emb": (turn, turn) if config.use_rotary_positional_embeddings else None,
    }


def _cogview(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    side = size or LATENT
    places = dict.fromkeys(("original_size", "target_size", "crop_coords"), _empty(rows, 2))
    return {
        "hidden_states": _empty(rows, config.in_channels, side, side),
        **_text(rows, config.text_embed_dim, 224),
        **places,
    }


def _sana(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    side = size or config.sample_size
    return {"hidden_states": _empty(rows, config.in_channels, side, side), **_text(rows, config.caption_channels, 300)}


def _auraflow(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    side = size or LATENT
    sample = _empty(rows, config.in_channels, side, side)
    return {"hidden_states": sample, **_text(rows, config.joint_attention_dim, 256)}


BUILDERS: dict[str, Builder] = {
    "QwenImageTransformer2DModel": _qwen,
    "WanTransformer3DModel": _wan,
    "Flux2Transformer2DModel": _flux2,
    "ChromaTransformer2DModel": _chroma,
    "LTXVideoTransformer3DModel": _ltx,
    "HunyuanVideoTransformer3DModel": _hunyuan_video,
    "CogVideoXTransformer3DModel": _cogvideox,
    "CogView4Transformer2DModel": _cogview,
    "CogView3PlusTransformer2DModel": _cogview,
    "SanaTransformer2DModel": _sana,
    "AuraFlowTransformer2DModel": _auraflow,
}
