"""ControlNet, DiT and video against plain loops that compute the method step by step."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.testing.systems.system import picture
from tests.denoisers import reference
from tests.denoisers.conftest import close

KEYS = (0, 1, 4)
POLICY = {"explicit": {"steps": KEYS}}


def settings(decoding):
    return {"policy": POLICY, "injector": "none", "decoding": decoding}


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_controlnet(cases, decoding):
    case = cases("controlnet")
    expected = reference.controlled(case.pipe, ["red circle"], picture(1), 7, KEYS, 7.5, seed=4)
    with fdplug.propagate(case.pipe, **settings(decoding)) as on:
        got = case.run(seed=4, num_inference_steps=7)
    assert close(got, expected)
    assert on.ledger.passes("", "controlnet") == 3


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_dit(cases, decoding):
    """Three of five blocks: 5 * 18 / 28, rounded down."""
    pipe = cases("dit").pipe
    expected = reference.transformed(pipe, [3, 500], 7, KEYS, 3, 4.0, seed=4)
    taken = []
    decoder = pipe.vae.decode
    pipe.vae.decode = lambda latents: taken.append(latents) or decoder(latents)
    with fdplug.propagate(pipe, **settings(decoding)):
        pipe([3, 500], num_inference_steps=7, generator=torch.Generator().manual_seed(4))
    del pipe.vae.decode
    assert close(taken[0] * pipe.vae.config.scaling_factor, expected)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_text_to_video(cases, decoding):
    case = cases("text-to-video")
    expected = reference.filmed(case.pipe, ["red circle"], 3, 7, KEYS, 9.0, seed=4)
    with fdplug.propagate(case.pipe, **settings(decoding)):
        assert close(case.run(seed=4, num_inference_steps=7), expected)


def test_published_sets_reach_the_pipelines(cases):
    """DiT's 166 of 250 key steps and IF's 40 of 100, by name."""
    for name, steps, keys in (("dit", 250, 166), ("if-1", 100, 40)):
        case = cases(name)
        with fdplug.propagate(case.pipe, policy={"paper": {"system": case.system.key_set}}, injector="none") as on:
            case.run(num_inference_steps=steps)
        assert len(on.ledger.key_steps) == keys
        assert len(on.ledger.steps) == steps
