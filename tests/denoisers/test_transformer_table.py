"""Rows of the table of transformers: their parts, their clocks, and what is refused."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

import fdplug
from fdplug.denoisers.transformer_table import FAMILIES, REFUSED
from fdplug.errors import PropagationError, UnsupportedDenoiserError
from fdplug.lookup import find_family
from fdplug.testing.systems import SYSTEMS


def family(name):
    (found,) = [one for one in FAMILIES if one.name == name]
    return found()


def test_a_second_denoiser_of_which_the_family_does_not_know_is_refused():
    pipe = SYSTEMS["qwen-image"].make()
    pipe.transformer_2 = copy.deepcopy(pipe.transformer)
    with pytest.raises(
        UnsupportedDenoiserError, match="two denoisers, transformer and transformer_2, and family 'qwen"
    ):
        fdplug.propagate(pipe)


def test_what_works_on_one_denoiser_refuses_two():
    with pytest.raises(UnsupportedDenoiserError, match=r"works on one; fdplug.propagate\(\) accelerates both"):
        find_family(SYSTEMS["wan-a14b"].make())


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_cannot_be_accelerated_is_refused_with_the_reason(name):
    import diffusers

    network = object.__new__(getattr(diffusers, name))
    with pytest.raises(UnsupportedDenoiserError, match=REFUSED[name]):
        find_family(SimpleNamespace(transformer=network))


def test_long_skips_are_kept():
    """Of eight blocks the first three feed the last three; the fifth, the last of the encoder, hands on the rest."""
    part = family("hunyuan-dit-2d").part(SYSTEMS["hunyuan-dit"].make().transformer, "encoder")
    assert part.modules == ("pos_embed", *(f"blocks.{index}" for index in range(5)))
    assert part.chained == {"pos_embed", "blocks.3"}


def test_stacks_take_turns():
    part = family("latte-transformer-3d").part(SYSTEMS["latte"].make().transformer, "encoder")
    spatial, temporal = "transformer_blocks", "temporal_transformer_blocks"
    assert part.modules == ("pos_embed", f"{spatial}.0", f"{temporal}.0", f"{spatial}.1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wan-transformer-3d", [900.0, 900.0, 500.0, 500.0]),
        ("qwen-image-transformer-2d", [0.9, 0.9, 0.5, 0.5]),
        ("auraflow-transformer-2d", [0.9, 0.9, 0.5, 0.5]),
        ("lumina2-transformer-2d", [0.1, 0.1, 0.5, 0.5]),
        ("z-image-transformer-2d", [0.1, 0.1, 0.5, 0.5]),
    ],
)
def test_timesteps_of_a_span_are_on_the_pipelines_clock(name, expected):
    made = family(name).timesteps(torch.tensor([900.0, 500.0]), torch.zeros(2), 2)
    torch.testing.assert_close(made, torch.tensor(expected))


def test_tokens_that_stand_at_zero_stay_there():
    given = torch.tensor([[0.0, 900.0], [900.0, 900.0]])
    made = family("wan-transformer-3d").timesteps(torch.tensor([900.0, 500.0]), given, 2)
    assert made.tolist() == [[0, 900], [900, 900], [0, 500], [500, 500]]


def test_a_clean_timestep_along_with_the_others_is_decoded_step_by_step():
    pipe = SYSTEMS["qwen-image"].make()
    assert not family("qwen-image-transformer-2d").one_by_one(pipe.transformer)
    pipe.transformer.zero_cond_t = True
    assert "a clean one for each row" in family("qwen-image-transformer-2d").one_by_one(pipe.transformer)
    with fdplug.propagate(pipe, decoding="parallel"), pytest.raises(PropagationError, match="take decoding='auto'"):
        SYSTEMS["qwen-image"].run(pipe)
