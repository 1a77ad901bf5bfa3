"""DeepCache against the authors' package, and where that package is wrong against what it should do."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionImg2ImgPipeline
from fdplug_deepcache import DeepCache, NonUniform

from fdplug import propagate
from fdplug.errors import ConfigError, PropagationError
from fdplug.policies import Schedule
from fdplug.testing import check_part, check_policy, latents, tiny_pipeline


@pytest.fixture
def pipe():
    """A tiny Stable Diffusion with as many layers per block as the real one."""
    return tiny_pipeline(layers_per_block=2)


def ours(pipe, interval, branch=0):
    policy = {"uniform": {"interval": interval}}
    return propagate(pipe, part=DeepCache(branch), policy=policy, injector="none")


def theirs(pipe, interval, branch=0):
    package = pytest.importorskip("DeepCache", reason="the authors' package is not installed")
    helper = package.DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=interval, cache_branch_id=branch)
    return helper


def draw_with(helper, draw):
    helper.enable()
    try:
        return draw()
    finally:
        helper.disable()


def test_contract():
    check_part(DeepCache(branch=1))
    check_policy(NonUniform())


@pytest.mark.parametrize(("interval", "branch"), [(2, 0), (3, 0), (5, 0), (3, 1), (3, 2), (3, 3), (3, 7), (5, 11)])
def test_the_authors_package_agrees(pipe, interval, branch):
    expected = draw_with(theirs(pipe, interval, branch), lambda: latents(pipe))
    with ours(pipe, interval, branch):
        assert torch.allclose(latents(pipe), expected, atol=1e-4)
    assert not torch.allclose(latents(pipe), expected, atol=1e-2), "the test would see no difference"


@pytest.mark.parametrize("scheduler", [DDIMScheduler, EulerDiscreteScheduler])
def test_the_authors_package_agrees_on_a_batch_without_guidance(pipe, scheduler):
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    arguments = {"prompt": ["red", "blue", "green"], "guidance_scale": 1.0, "num_inference_steps": 7}
    expected = draw_with(theirs(pipe, 3), lambda: latents(pipe, **arguments))
    with ours(pipe, 3):
        assert torch.allclose(latents(pipe, **arguments), expected, atol=1e-4)


def test_what_is_replayed_at_the_outermost_branch(pipe):
    with ours(pipe, 5) as handle:
        latents(pipe)
        assert handle.method.part.modules == (
            *(f"down_blocks.{index}" for index in range(4)),
            "mid_block",
            *(f"up_blocks.{index}" for index in range(3)),
            *("up_blocks.3.resnets.0", "up_blocks.3.attentions.0", "up_blocks.3.resnets.1", "up_blocks.3.attentions.1"),
        )
        assert handle.ledger.key_steps == (0, 5)
        assert handle.ledger.passes("mid_block") == 2


def test_heun_computes_at_every_interval(pipe):
    """The package looks the timestep up; Heun repeats timesteps, so that it would compute once in 19 calls."""
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    with ours(pipe, 2) as handle:
        latents(pipe)
        assert handle.ledger.key_steps == tuple(range(0, 19, 2))


def test_image_to_image_does_not_depend_on_the_call_before(pipe):
    """The package keeps the step with which its first call began."""
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    painter = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    painter.set_progress_bar_config(disable=True)

    def draw(strength):
        return latents(painter, image=image, strength=strength)

    with ours(painter, 3) as handle:
        fresh = draw(0.5)
        assert handle.ledger.key_steps == (5, 8)
        draw(0.9)
        assert torch.equal(draw(0.5), fresh)


def test_a_larger_batch_may_follow(pipe):
    with ours(pipe, 3):
        single = latents(pipe)
        assert latents(pipe, ["red", "blue"]).shape == (2, 4, 8, 8)
        assert torch.equal(latents(pipe), single)


def test_layers_that_write_into_features(pipe):
    """FreeU and T2I-Adapters write into features; nothing that is handed out may be shared memory."""
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    check = {"policy": {"uniform": {"interval": 2}}, "injector": "none"}
    with propagate(pipe, part=DeepCache(4), **check):
        changed = latents(pipe)
        assert torch.equal(latents(pipe), changed)


def test_a_branch_that_does_not_exist(pipe):
    with pytest.raises(ConfigError, match="branch must be at most 11 on this U-Net, got 12"):
        propagate(pipe, part=DeepCache(12))
    with pytest.raises(ConfigError, match="branch must be a whole number"):
        DeepCache(branch=-1)


def test_a_denoiser_that_is_no_u_net():
    with pytest.raises(PropagationError, match="Linear is none"):
        DeepCache().part(None, torch.nn.Linear(1, 1))


def test_every_span_would_need_the_sample(pipe):
    with pytest.raises(ConfigError, match="every prediction depends on the sample"):
        propagate(pipe, part=DeepCache(), decoding="parallel")


def steps_of(length, start=0, **options):
    schedule = Schedule(tuple(float(length - index) for index in range(length)), start)
    return sorted(NonUniform(**options).key_steps(schedule))


def test_non_uniform_steps_are_dense_at_the_center():
    steps = steps_of(50, count=10, center=15, power=1.4)
    assert len(steps) == 10
    assert steps[0] == 0
    gaps = [later - earlier for earlier, later in zip(steps, [*steps[1:], 50], strict=True)]
    nearest = min(range(10), key=lambda index: abs(steps[index] - 15))
    assert min(gaps) in gaps[nearest - 1 : nearest + 1]
    assert max(gaps[0], gaps[-1]) > min(gaps)


def test_power_one_is_uniform():
    assert steps_of(50, count=10, center=15, power=1.0) == list(range(0, 50, 5))


def test_more_steps_than_the_run_has_and_a_late_start():
    assert steps_of(4, count=10) == [0, 1, 2, 3]
    assert min(steps_of(50, start=20, count=5)) == 20
