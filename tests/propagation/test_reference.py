"""Serial and parallel decoding equal the plain loop, for every sampler."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.testing import latents, tiny_pipeline
from tests.propagation import reference

SAMPLERS = [
    "ddim",
    "ddpm",
    "dpm-solver",
    "dpm-solver++",
    "unipc",
    "euler",
    "heun",
    "lcm",
    "pndm",
    "dpm-solver++1",
    "deis",
]
KEYS = (0, 1, 3, 6)
STEPS = 9


@pytest.fixture(scope="module")
def shared():
    return tiny_pipeline()


def test_every_registered_sampler_is_covered():
    """The others place the same schedulers' steps, or are for models that predict a flow."""
    others = {"own", "ays", "tuned", "flow-euler", "flow-dpm++", "flow-unipc"}
    assert {*SAMPLERS, *others} == set(registry.names("sampler"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("alpha", [0.0, 0.05], ids=["plain", "injected"])
@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("guidance", [1.0, 4.0], ids=["unguided", "guided"])
def test_serial_and_parallel_equal_the_plain_loop(shared, sampler, alpha, prompts, guidance):
    """Latents agree within 1e-4 of their scale, whatever the batch, guidance, noise and sampler."""
    shared.scheduler = registry.build("sampler", sampler).build(shared.scheduler.config)
    texts = ["a red circle", "a blue square", "green"][:prompts]
    expected = reference.propagate(shared, texts, STEPS, KEYS, guidance, alpha)
    injector = {"prior": {"alpha": alpha}} if alpha else "none"
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(shared, policy={"explicit": {"steps": KEYS}}, injector=injector, decoding=decoding) as on:
            got = latents(shared, texts, num_inference_steps=STEPS, guidance_scale=guidance)
        assert on.ledger.key_steps == KEYS
        assert on.ledger.passes("") == (len(KEYS) if decoding == "parallel" else len(shared.scheduler.timesteps))
        scale = max(1.0, float(expected.abs().max()))
        assert torch.allclose(got / scale, expected / scale, atol=1e-4, rtol=0)


def test_the_plain_loop_is_sensitive(shared):
    """Other keys, or the noise left out, are told apart by far more than the tolerance."""
    shared.scheduler = registry.build("sampler", "ddim").build(shared.scheduler.config)
    base = reference.propagate(shared, ["red"], STEPS, KEYS, 4.0, 0.05)
    for keys, alpha in [((0, 4), 0.05), (KEYS, 0.0)]:
        other = reference.propagate(shared, ["red"], STEPS, keys, 4.0, alpha)
        assert float((other - base).abs().max()) > 1e-2
