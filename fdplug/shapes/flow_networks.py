"""The architectures of the `shapes-flow` pipeline: SD3's joint transformer in miniature, and its text towers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from fdplug.shapes.networks import LATENT_CHANNELS, LATENT_SIZE, TEXT_WIDTH
from fdplug.shapes.tokenizer import CONTEXT

FLOW_CONTEXT = 30
"""Positions of a prompt: the text tower names the first object at 24 to 28 and the second one at 29."""
SECOND_WIDTH = 8
PATCH = 2
BLOCKS = 12
HEADS, HEAD_WIDTH = 3, 32
TOWER_LAYERS = 2


def build_transformer() -> SD3Transformer2DModel:
    """The velocity predictor: twelve joint blocks, whose gates are closed at first (AdaLN-zero)."""
    width = HEADS * HEAD_WIDTH
    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIZE,
        patch_size=PATCH,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=BLOCKS,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        joint_attention_dim=TEXT_WIDTH + SECOND_WIDTH,
        caption_projection_dim=width,
        pooled_projection_dim=TEXT_WIDTH + SECOND_WIDTH,
        pos_embed_max_size=LATENT_SIZE // PATCH,
        qk_norm="rms_norm",
    )
    closed: Any = transformer
    for linear in [*_modulations(closed), closed.norm_out.linear, closed.proj_out]:
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    return transformer


def _modulations(transformer: Any) -> list[nn.Linear]:
    return [norm.linear for block in transformer.transformer_blocks for norm in (block.norm1, block.norm1_context)]


def build_flow_text_encoder(vocabulary: int) -> CLIPTextModelWithProjection:
    """The text tower of `shapes` with one more layer.

    SD3 reads the states before the last layer: those of the tower. The last layer gathers the pooled vector alone.
    """
    return CLIPTextModelWithProjection(_text_config(vocabulary, TEXT_WIDTH, TOWER_LAYERS + 1))


def build_second_text_encoder(vocabulary: int) -> CLIPTextModelWithProjection:
    """An empty stand-in for SD3's second text tower: every output is zero."""
    tower = CLIPTextModelWithProjection(_text_config(vocabulary, SECOND_WIDTH, 1))
    for parameter in tower.parameters():
        nn.init.zeros_(parameter)
    return tower


def build_flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Euler steps of flow matching, evenly spaced in the noise level."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)


def prompt_states(tower: CLIPTextModelWithProjection, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What SD3's ``encode_prompt`` returns for a prompt, but for the positions of T5, which are zero.

    Args:
        tower: of `build_flow_text_encoder`.
        tokens: (N, 30).

    Returns:
        States (N, 30, 104) and the pooled vector (N, 104); the second tower's share is zero.
    """
    out = tower(tokens, output_hidden_states=True)
    widen = (0, SECOND_WIDTH)
    return nn.functional.pad(out.hidden_states[-2], widen), nn.functional.pad(out.text_embeds, widen)


def _text_config(vocabulary: int, width: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


class CountedNull:
    """SD3's joint attention in which the last key stands for many equal ones.

    Without T5, SD3 appends zeros for its tokens, by default 256. They have no positions, so they stay equal to each
    other through all blocks, and `count` equal keys weigh as one whose logit is higher by ln(count): the same result.
    """

    def __init__(self) -> None:
        self.count = 1.0

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Attend from image tokens (N, I, D) and text tokens (N, T, D) to both."""
        own = [attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)]
        text = [project(encoder_hidden_states) for project in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)]
        own = [one.unflatten(2, (attn.heads, -1)).transpose(1, 2) for one in own]
        text = [one.unflatten(2, (attn.heads, -1)).transpose(1, 2) for one in text]
        own[:2], text[:2] = (
            [attn.norm_q(own[0]), attn.norm_k(own[1])],
            [
                attn.norm_added_q(text[0]),
                attn.norm_added_k(text[1]),
            ],
        )
        query, key, value = (torch.cat(pair, dim=2) for pair in zip(own, text, strict=True))
        mask = torch.zeros(1, 1, 1, key.shape[2], dtype=query.dtype, device=query.device)
        mask[..., -1] = torch.tensor(self.count).log()
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        image, rest = seen.transpose(1, 2).flatten(2).split([hidden_states.shape[1], encoder_hidden_states.shape[1]], 1)
        return attn.to_out[0](image), rest if attn.context_pre_only else attn.to_add_out(rest)
