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
        if name in self._chained:
            seen.extend(fdplug.trees.leaves(found))
        return found

    monkeypatch.setattr(Replay, "answer", watched)
    with fdplug.propagate(pipe, **TRUNK, decoding="serial"):
        latents(pipe, num_inference_steps=STEPS)
    assert seen
    assert all(not one.written and one.source.untyped_storage().nbytes() <= 8 for one in seen)
