"""The last steps left out: the last one that is taken ends where the run would have ended."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from fdplug import propagate, registry
from fdplug.errors import ConfigError, PropagationError
from fdplug.samplers import Sampler
from fdplug.testing import check_sampler, latents, tiny_pipeline

DIFFUSION, FLOW = DDIMScheduler(), FlowMatchEulerDiscreteScheduler(shift=3.0)
CANNOT = {"pndm", "lcm"}  # they neither have noise levels nor say what is clean
ABLE = sorted(set(registry.names("sampler")) - CANNOT - {"tuned"})  # which reads a file


def fitted(name, scheduler=None, **options):
    sampler = registry.build("sampler", {name: options})
    return sampler.fit(scheduler or (FLOW if name.startswith("flow") else DIFFUSION))


@pytest.mark.parametrize("name", ABLE)
def test_contract(name):
    check_sampler(registry.build("sampler", {name: {"leave_out": 2}}))


@pytest.mark.parametrize("name", ABLE)
def test_what_is_left_are_the_first_steps_and_the_end(name):
    whole, short = fitted(name), fitted(name, leave_out=3)
    for scheduler in (whole, short):
        scheduler.set_timesteps(10)
    left = len(whole.timesteps) - 3 * whole.order
    assert torch.equal(short.timesteps, whole.timesteps[:left])
    if len(getattr(whole, "sigmas", ())) > len(whole.timesteps):
        assert torch.equal(short.sigmas, torch.cat([whole.sigmas[:left], whole.sigmas[len(whole.timesteps) :]]))


@pytest.mark.parametrize("name", ["pndm", "lcm"])
def test_a_scheduler_that_cannot_end_clean_is_refused(name):
    with pytest.raises(ConfigError, match=r"leave_out needs a scheduler with noise levels .* has neither: take"):
        fitted(name, leave_out=1)


@pytest.mark.parametrize("name", ["ddim", "ddpm"])
def test_steps_left_out_end_clean(name):
    """By a plain loop: the last step that is taken goes where the scheduler says that it is clean."""
    whole, short = fitted(name), fitted(name, leave_out=3)
    results = {}
    for scheduler in (whole, short):
        scheduler.set_timesteps(10)
        generator = torch.Generator().manual_seed(0)
        sample = torch.ones(1, 4, 8, 8)
        for timestep in whole.timesteps[:7]:
            before, noise = sample, sample.cos()
            sample = scheduler.step(noise, timestep, sample, generator=generator, return_dict=False)[0]
        share = scheduler.alphas_cumprod[timestep]
        results[scheduler is short] = sample, ((before - (1 - share).sqrt() * noise) / share.sqrt()).clamp(-1, 1)
    assert torch.allclose(results[True][0], results[False][1], atol=1e-6)
    assert not torch.allclose(results[True][0], results[False][0], atol=1e-2)


def test_pipelines_and_propagation_take_as_many_steps_as_are_left():
    pipe = tiny_pipeline()
    plain = latents(pipe)
    pipe.scheduler = fitted("ddim", pipe.scheduler, leave_out=4)
    short = latents(pipe)
    assert not torch.allclose(short, plain, atol=1e-3)
    with propagate(pipe, policy="all", injector="none") as on:
        assert torch.equal(latents(pipe), short)
        assert on.ledger.steps == tuple(range(6))
    with propagate(pipe, policy={"uniform": {"interval": 2}}, injector="none") as on:
        latents(pipe)
        assert on.ledger.key_steps == (0, 2, 4)
    assert torch.equal(latents(pipe), short)


def test_a_copy_leaves_out_as_many_of_its_own():
    scheduler = fitted("euler", leave_out=2)
    other = copy.deepcopy(scheduler)
    other.set_timesteps(10)
    scheduler.set_timesteps(5)
    assert (len(other.timesteps), len(scheduler.timesteps)) == (8, 3)


def test_a_large_image_may_shift_the_levels():
    scheduler = fitted("flow-euler", FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), leave_out=1)
    scheduler.set_timesteps(4, mu=0.7)
    assert len(scheduler.timesteps) == 3
    assert scheduler.sigmas[-1] == 0


def test_timesteps_of_ones_own_are_cut_too():
    scheduler = fitted("ays", leave_out=2)
    assert "timesteps" in inspect.signature(scheduler.set_timesteps).parameters
    scheduler.set_timesteps(timesteps=[999, 700, 400, 100])
    assert scheduler.timesteps.tolist() == [999, 700]


def test_a_run_of_which_nothing_is_left_is_refused():
    with pytest.raises(PropagationError, match="no step is left of 3: leave_out 3 leaves out as many or more"):
        fitted("ddim", leave_out=3).set_timesteps(3)
    with pytest.raises(ConfigError, match="leave_out must be a whole number"):
        fitted("ddim", leave_out=-1)


def test_samplers_written_for_contract_1_0_have_the_option():
    class Mine(Sampler):
        """Euler."""

        name = "mine"
        scheduler = "EulerDiscreteScheduler"

    class Older(Mine):
        """Euler, with an option of its own and no word of this one."""

        name = "older"

        def __init__(self, karras: bool = False) -> None:
            self.karras = karras

    scheduler = Mine(leave_out=1).fit(DIFFUSION)
    scheduler.set_timesteps(4)
    assert len(scheduler.timesteps) == 3
    check_sampler(Mine(leave_out=1))
    check_sampler(Older())
