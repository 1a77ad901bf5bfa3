"""Pipelines of transformers, tiny and with random weights, that are given embeddings instead of prompts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fdplug import testing
from fdplug.testing.systems.system import System, noise
from fdplug.testing.systems.transformers import randomized

TOKENS = 6
MASKS = ("prompt_attention_mask", "negative_prompt_attention_mask")
WIDE = {"height": 48, "width": 64}
SMALL = {"num_layers": 3, "num_attention_heads": 2}
CHANNELS = {"in_channels": 4, "out_channels": 4}


def tabled(
    pipeline: str,
    transformer: str,
    config: Mapping[str, Any],
    components: Callable[[], Mapping[str, Any]] = dict,
    *,
    resized: Mapping[str, Any] = WIDE,
    **system: Any,
) -> System:
    """Return a system of a pipeline that needs a transformer and little else.

    Args:
        pipeline: its class in diffusers.
        transformer: the transformer's class in diffusers.
        config: of the transformer.
        components: returns what the pipeline needs besides.
        resized: as in `System`.
        system: the other fields of `System`.
    """

    def build() -> Any:
        import diffusers

        made = getattr(diffusers, transformer)(**config)
        return assembled(pipeline, made, **components())

    return System(pipeline=pipeline, build=build, resized=resized, **system)


def assembled(pipeline: str, transformer: Any, **components: Any) -> Any:
    """Return a pipeline of a transformer with random weights; what it has besides and is not named here is absent."""
    import diffusers

    cls = getattr(diffusers, pipeline)
    named = {name for name, one in inspect.signature(cls).parameters.items() if one.default is one.empty}
    given = {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler(), **components}
    return cls(transformer=randomized(transformer), **{**dict.fromkeys(named - {"transformer"}), **given})


def with_vae() -> dict[str, Any]:
    """Return a VAE, for pipelines that ask it for its size."""
    return {"vae": testing.tiny_vae()}


def embedded(n: int, width: int = 16, tokens: int = TOKENS) -> dict[str, Any]:
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


def sized(size: int = 32) -> dict[str, Any]:
    """Return height, width and the wish for latents."""
    return {"height": size, "width": size, "output_type": "latent"}
