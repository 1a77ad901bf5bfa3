"""The trunk: every module but the head, replayed; on DDIM with reuse that is DDIM with fewer timesteps."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.testing import latents, tiny_pipeline

KEYS = (0, 2, 3, 6)
STEPS = 9
TRUNK = {"part": "trunk", "injector": "none", "policy": {"explicit": {"steps": KEYS}}}


@torch.no_grad()
def ddim_between_keys(pipe, steps, keys, seed=0):
    """DDIM's own update (Song et al., 2020, eq. 12 with eta 0) from key step to key step, one prediction for each."""
    scheduler, generator = pipe.scheduler, torch.Generator().manual_seed(seed)
    text, _ = pipe.encode_prompt(["a red circle"], "cpu", 1, False)
    scheduler.set_timesteps(steps)
    times = [int(one) for one in scheduler.timesteps]
    last = times[-1] - scheduler.config.num_train_timesteps // steps
    kept = scheduler.alphas_cumprod
    level = {time: kept[time] if time >= 0 else scheduler.final_alpha_cumprod for time in (*times, last)}
    sample = torch.randn((1, 4, 8, 8), generator=generator)
    for key, after in zip(keys, [*(times[key] for key in keys[1:]), last], strict=True):
        here, there = level[times[key]], level[after]
        noise = pipe.unet(sample, times[key], text).sample
        clean = (sample - (1 - here).sqrt() * noise) / here.sqrt()
        sample = there.sqrt() * clean + (1 - there).sqrt() * noise
    return sample


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_reuse_on_ddim_is_ddim_with_the_keys_as_timesteps(decoding):
    pipe = tiny_pipeline()
    pipe.scheduler = fdplug.registry.build("sampler", {"ddim": {"spacing": "leading"}}).fit(pipe.scheduler)
    pipe.scheduler.register_to_config(clip_sample=False)
    expected = ddim_between_keys(pipe, STEPS, KEYS)
    with fdplug.propagate(pipe, **TRUNK, decoding=decoding) as on:
        got = latents(pipe, ["a red circle"], num_inference_steps=STEPS, guidance_scale=1.0)
        assert on.ledger.passes("up_blocks.0") == len(KEYS)
    assert torch.allclose(got, expected, atol=1e-4)
    assert not torch.allclose(ddim_between_keys(pipe, STEPS, (0, 2, 3, 7)), expected, atol=1e-3)


def test_a_replayed_step_makes_no_tensor_for_a_chained_module(monkeypatch):
    """What stands for the output of chained modules shares one number, however many rows there are."""
    from fdplug.propagation.replay import Replay

    pipe, seen = tiny_pipeline(), []
    answer = Replay.answer

    def watched(self, name, window):
        found = answer(self, name, window)
        if name in self._part.chained:
            seen.extend(fdplug.trees.leaves(found))
        return found

    monkeypatch.setattr(Replay, "answer", watched)
    with fdplug.propagate(pipe, **TRUNK, decoding="serial"):
        latents(pipe, num_inference_steps=STEPS)
    assert seen
    assert all(not one.written and one.source.untyped_storage().nbytes() <= 8 for one in seen)


COMBINING = (
    "DPMSolverMultistepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
)
NOISY = ("DDPMScheduler", "EulerAncestralDiscreteScheduler", "LCMScheduler")


def scheduled(name):
    """A pipeline with this scheduler of diffusers."""
    import diffusers

    pipe = tiny_pipeline()
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    return pipe


@pytest.mark.parametrize("name", COMBINING)
def test_solvers_that_combine_predictions_are_warned_of(name):
    method = fdplug.propagate(scheduled(name), **TRUNK)
    with method, pytest.warns(fdplug.errors.FdplugWarning, match=f"{name} combines several predictions.*expect worse"):
        latents(method.pipe, num_inference_steps=STEPS)
    with fdplug.propagate(method.pipe, **{**TRUNK, "part": "encoder"}):
        latents(method.pipe, num_inference_steps=STEPS)  # an encoder's predictions are made at every step


@pytest.mark.parametrize("name", NOISY)
def test_solvers_that_add_noise_are_refused(name):
    """Where propagation is switched on, and when such a scheduler takes the place of another one later."""
    pipe, other = tiny_pipeline(), scheduled(name)
    refused = pytest.raises(fdplug.errors.PropagationError, match=f"{name} adds fresh noise.*take a deterministic")
    with refused:
        fdplug.propagate(other, **TRUNK)
    with fdplug.propagate(pipe, **TRUNK):
        pipe.scheduler = other.scheduler
        with pytest.warns(fdplug.errors.FdplugWarning, match="exchanged"), refused:
            latents(pipe, num_inference_steps=STEPS)
    with fdplug.propagate(other, **{**TRUNK, "part": "encoder"}):
        pass


@pytest.mark.parametrize(
    "sampler",
    ["ddim", "euler", "dpm-solver++1", {"euler": {"karras": True}}, {"ddim": {"spacing": "trailing"}}],
    ids=str,
)
def test_deterministic_solvers_of_first_order_are_taken(sampler):
    pipe = tiny_pipeline()
    pipe.scheduler = fdplug.registry.build("sampler", sampler).fit(pipe.scheduler)
    with fdplug.propagate(pipe, **TRUNK) as on:
        latents(pipe, num_inference_steps=STEPS)
    assert on.ledger.key_steps == KEYS


def test_the_noise_of_ddim_is_refused_when_it_is_asked_for():
    """DDIM with eta is as stochastic as DDPM; eta is known only when a step is taken."""
    pipe = tiny_pipeline()
    pipe.scheduler = fdplug.registry.build("sampler", "ddim").fit(pipe.scheduler)
    with fdplug.propagate(pipe, **TRUNK):
        with pytest.raises(fdplug.errors.PropagationError, match=r"eta 0\.5.*adds fresh noise"):
            latents(pipe, num_inference_steps=STEPS, eta=0.5)
        latents(pipe, num_inference_steps=STEPS)
    with fdplug.propagate(pipe, **{**TRUNK, "policy": "all"}):
        latents(pipe, num_inference_steps=STEPS, eta=0.5)
