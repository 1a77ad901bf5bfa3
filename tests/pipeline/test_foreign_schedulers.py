"""Schedulers whose methods others have put there, or that are none of diffusers'."""

from __future__ import annotations

import pytest
import torch
from diffusers import EulerDiscreteScheduler

import fdplug
from fdplug.errors import PipelineError, PropagationError
from fdplug.testing import latents

SETTINGS = {"policy": {"uniform": {"interval": 3}}, "injector": {"prior": {"alpha": 0.05}}}


def _nameless(inner):
    return lambda *args, **kwargs: inner(*args, **kwargs)


def _renamed(inner):
    return lambda prediction, time, noisy, **more: inner(prediction, time, noisy, **more)


@pytest.mark.parametrize("wrap", [_nameless, _renamed])
def test_noise_is_injected_whatever_a_step_calls_its_sample(pipe, wrap):
    with fdplug.propagate(pipe, **SETTINGS):
        expected = latents(pipe)
    pipe.scheduler.step = wrap(pipe.scheduler.step)
    with fdplug.propagate(pipe, **SETTINGS):
        assert torch.equal(latents(pipe), expected)


def test_a_step_without_a_sample_is_refused(pipe):
    inner = pipe.scheduler.step
    unet = pipe.unet
    pipe.scheduler.step = lambda given: inner(*given)
    with fdplug.propagate(pipe, **SETTINGS), torch.no_grad():
        pipe.scheduler.set_timesteps(6)
        sample, text = torch.zeros(1, 4, 8, 8), torch.zeros(1, 16, unet.config.cross_attention_dim)
        found = unet(sample, pipe.scheduler.timesteps[0], encoder_hidden_states=text).sample
        with pytest.raises(PropagationError, match="no noise can be injected: take injector='none'"):
            pipe.scheduler.step((found, pipe.scheduler.timesteps[0], sample))


class Bare:
    """Takes steps as another scheduler does, and has no configuration."""

    def __init__(self, inner):
        self.set_timesteps, self.step = inner.set_timesteps, inner.step


def test_a_scheduler_without_a_configuration_is_refused(pipe):
    pipe.scheduler = Bare(pipe.scheduler)
    with pytest.raises(PipelineError, match="its Bare has no 'config'"):
        fdplug.propagate(pipe)


class FewSigmas(EulerDiscreteScheduler):
    """Shows the sigmas of its first two steps alone."""

    def set_timesteps(self, *args, **kwargs):
        super().set_timesteps(*args, **kwargs)
        self.hidden, self.sigmas = self.sigmas, self.sigmas[:2]

    def step(self, *args, **kwargs):
        return self._with_all(super().step, *args, **kwargs)

    def scale_model_input(self, *args, **kwargs):
        return self._with_all(super().scale_model_input, *args, **kwargs)

    def _with_all(self, method, *args, **kwargs):
        shown, self.sigmas = self.sigmas, self.hidden
        try:
            return method(*args, **kwargs)
        finally:
            self.sigmas = shown


def test_noise_whose_scale_a_scheduler_does_not_tell_is_refused_and_nothing_else(pipe):
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with fdplug.propagate(pipe, **SETTINGS | {"injector": "none"}):
        expected = latents(pipe)
    pipe.scheduler = FewSigmas.from_config(pipe.scheduler.config)
    with fdplug.propagate(pipe, **SETTINGS | {"injector": "none"}):
        assert torch.equal(latents(pipe), expected)
    with (
        fdplug.propagate(pipe, **SETTINGS),
        pytest.raises(PropagationError, match=r"this FewSigmas has 2 sigmas, none for step \d, .* injector='none'"),
    ):
        latents(pipe)
