"""What a denoiser is called with, by its class: tensors without values, of the sizes that its configuration implies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fdplug.complexity.transformer_inputs import BUILDERS
from fdplug.errors import ConfigError

TOKENS = 77
T5_TOKENS = 512
PIXART_TOKENS = 120


def example(network: Any, rows: int, size: int | None = None) -> dict[str, Any]:
    """Return keyword arguments for one forward pass, on the meta device.

    Args:
        network: a denoiser on the meta device.
        rows: batch rows; one picture under classifier-free guidance makes two.
        size: height and width of its sample (latents, for latent diffusion); that of its configuration if None.

    Raises:
        ConfigError: the class is not among those whose arguments are known.
    """
    name, config = type(network).__name__, network.config
    if name == "UNetSpatioTemporalConditionModel":
        return _film(config, rows, size)
    if name in BUILDERS:
        return BUILDERS[name](config, rows, size)
    if name not in _BUILDERS:
        known = ", ".join([*_BUILDERS, *BUILDERS])
        raise ConfigError(f"cannot tell the inputs of {name} from its configuration; known are {known}")
    return _BUILDERS[name](config, rows, size or _sample_size(config))


def _sample_size(config: Any) -> int:
    size = getattr(config, "sample_size", None)
    if size is None:
        raise ConfigError("the configuration states no sample_size; give --sample-size, in latent pixels")
    return size if isinstance(size, int) else size[0]


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _whole(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta", dtype=torch.long)


def _unet(config: Any, rows: int, size: int) -> dict[str, Any]:
    width = config.cross_attention_dim
    width = width if isinstance(width, int) else width[0]
    given: dict[str, Any] = {
        "sample": _empty(rows, config.in_channels, size, size),
        "timestep": _empty(rows),
        "encoder_hidden_states": _empty(rows, TOKENS, config.encoder_hid_dim or width),
    }
    if config.addition_embed_type == "text_time":
        times = 5 if config.projection_class_embeddings_input_dim == 2560 else 6  # the refiner has an aesthetic score
        pooled = config.projection_class_embeddings_input_dim - times * config.addition_time_embed_dim
        given["added_cond_kwargs"] = {"text_embeds": _empty(rows, pooled), "time_ids": _empty(rows, times)}
    if config.class_embed_type == "timestep":
        given["class_labels"] = _empty(rows)
    return given


def _unconditional(config: Any, rows: int, size: int) -> dict[str, Any]:
    return {"sample": _empty(rows, config.in_channels, size, size), "timestep": _empty(rows)}


def _film(config: Any, rows: int, size: int | None) -> dict[str, Any]:
    """Return what Stable Video Diffusion is called with, for 576 x 1024 pixels where no size is given."""
    return {
        "sample": _empty(rows, config.num_frames, config.in_channels, size or 72, size or 128),
        "timestep": _empty(rows),
        "encoder_hidden_states": _empty(rows, 1, config.cross_attention_dim),
        "added_time_ids": _empty(rows, 3),
    }


def _dit(config: Any, rows: int, size: int) -> dict[str, Any]:
    sample = _empty(rows, config.in_channels, size, size)
    return {"hidden_states": sample, "timestep": _empty(rows), "class_labels": _whole(rows)}


def _pixart(config: Any, rows: int, size: int) -> dict[str, Any]:
    own = config.use_additional_conditions
    sizes = own if own is not None else config.sample_size == 128
    return {
        "hidden_states": _empty(rows, config.in_channels, size, size),
        "encoder_hidden_states": _empty(rows, PIXART_TOKENS, config.caption_channels),
        "timestep": _empty(rows),
        "added_cond_kwargs": {"resolution": _empty(rows, 2), "aspect_ratio": _empty(rows, 1)}
        if sizes
        else {"resolution": None, "aspect_ratio": None},
    }


def _sd3(config: Any, rows: int, size: int) -> dict[str, Any]:
    return {
        "hidden_states": _empty(rows, config.in_channels, size, size),
        "encoder_hidden_states": _empty(rows, 2 * TOKENS, config.joint_attention_dim),
        "pooled_projections": _empty(rows, config.pooled_projection_dim),
        "timestep": _empty(rows),
    }


def _flux(config: Any, rows: int, size: int) -> dict[str, Any]:
    tokens = (size // 2) ** 2
    return {
        "hidden_states": _empty(rows, tokens, config.in_channels),
        "encoder_hidden_states": _empty(rows, T5_TOKENS, config.joint_attention_dim),
        "pooled_projections": _empty(rows, config.pooled_projection_dim),
        "timestep": _empty(rows),
        "guidance": _empty(rows) if config.guidance_embeds else None,
        "img_ids": _empty(tokens, 3),
        "txt_ids": _empty(T5_TOKENS, 3),
    }


_BUILDERS: dict[str, Callable[[Any, int, int], dict[str, Any]]] = {
    "UNet2DConditionModel": _unet,
    "UNet2DModel": _unconditional,
    "DiTTransformer2DModel": _dit,
    "PixArtTransformer2DModel": _pixart,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
}
