"""The parts of `shapes-flow` against what the stock pipeline makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fdplug.shapes.flow_networks import (
    FLOW_CONTEXT,
    CountedNull,
    build_flow_text_encoder,
    build_second_text_encoder,
    build_transformer,
    prompt_states,
)
from fdplug.shapes.networks import build_vae
from fdplug.shapes.training.flow.export import flow_pipeline
from fdplug.shapes.training.flow.pooling import PoolingModule, flow_tokenizer, flow_tokens

CAPTIONS = [
    "a large striped blue cross left of a large plain green triangle on a woven background",
    "a large plain red circle on a gray background",
]


@pytest.fixture(scope="module")
def transformer() -> Any:
    """A transformer whose gates are open, as training opens them."""
    torch.manual_seed(0)
    network: Any = build_transformer()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name or "proj_out" in name:
                parameter.normal_(std=0.2)
    return network.eval()


def test_the_gates_are_closed_at_first() -> None:
    network: Any = build_transformer()
    noise, states = torch.randn(1, 4, 16, 16), torch.randn(1, FLOW_CONTEXT, 104)
    assert not network(noise, states, torch.randn(1, 104), torch.tensor([500.0])).sample.any()
    assert len(network.transformer_blocks) == 12


@pytest.mark.parametrize("count", [1, 7, 256])
def test_one_key_stands_for_many_equal_ones(transformer: Any, count: int) -> None:
    random = torch.Generator().manual_seed(count)
    noisy, states = (torch.randn(2, *size, generator=random) for size in ((4, 16, 16), (FLOW_CONTEXT, 104)))
    pooled, times = torch.randn(2, 104, generator=random), torch.tensor([900.0, 100.0])
    stock = dict(transformer.attn_processors)
    with torch.no_grad():
        expected = transformer(noisy, _with_zeros(states, count), pooled, times).sample
        attention = CountedNull()
        attention.count = count
        try:
            transformer.set_attn_processor(attention)
            found = transformer(noisy, _with_zeros(states, 1), pooled, times).sample
        finally:
            transformer.set_attn_processor(stock)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.1


def _with_zeros(states: torch.Tensor, count: int) -> torch.Tensor:
    return torch.cat([states, torch.zeros(len(states), count, states.shape[2])], dim=1)


def test_training_sees_what_the_pipeline_encodes(transformer: Any) -> None:
    tower = build_flow_text_encoder(len(flow_tokenizer())).eval()
    pipe = flow_pipeline(transformer, tower)
    found, _, pooled, _ = pipe.encode_prompt(CAPTIONS, None, None, max_sequence_length=3)
    states, vector = prompt_states(tower, flow_tokens(flow_tokenizer(), CAPTIONS))
    torch.testing.assert_close(found[:, :FLOW_CONTEXT], states)
    assert found.shape[1] == FLOW_CONTEXT + 3
    assert not found[:, FLOW_CONTEXT:].any()
    torch.testing.assert_close(pooled, vector)


def test_the_second_tower_says_nothing() -> None:
    out = build_second_text_encoder(len(flow_tokenizer())).eval()(torch.zeros(1, FLOW_CONTEXT, dtype=torch.int64))
    assert not out.text_embeds.any()


def test_the_states_are_those_of_the_tower_of_shapes() -> None:
    from transformers import CLIPTextModel

    from fdplug.shapes import pipeline_folder

    shared = CLIPTextModel.from_pretrained(pipeline_folder() / "text_encoder").eval()
    tokens = flow_tokens(flow_tokenizer(), CAPTIONS)
    states, _ = prompt_states(PoolingModule(len(flow_tokenizer())).tower.eval(), tokens)
    expected = shared(tokens, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(states[..., :96], expected)
    assert not states[..., 96:].any()


def test_the_latents_fit_the_autoencoder() -> None:
    vae: Any = build_vae()
    assert vae.config.latent_channels == build_transformer().config["in_channels"]
