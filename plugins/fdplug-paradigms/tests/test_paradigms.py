"""Parallel sampling: the serial solver's samples in the limit, fewer iterations with tolerance, honest counts."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline
from fdplug_paradigms import ParallelSampling

from fdplug import propagate
from fdplug.errors import ConfigError, PropagationError, StackError
from fdplug.testing import check_transform, latents, tiny_pipeline


@pytest.fixture
def pipe():
    return tiny_pipeline()


def parallel(pipe, **options):
    return propagate(pipe, policy="all", injector="none", transforms=[ParallelSampling(**options)])


def test_contract():
    check_transform(ParallelSampling(window=4))


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("window", [1, 3, 40])
def test_without_tolerance_it_is_the_serial_solver(pipe, scheduler, window):
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    expected = latents(pipe)
    with parallel(pipe, window=window, tolerance=0):
        assert torch.allclose(latents(pipe), expected, atol=2e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"guidance_scale": 1.0},
        {"prompt": ["red", "blue", "green"]},
        {"num_images_per_prompt": 2},
        {"guidance_rescale": 0.5},
        {"eta": 1.0},
        {"num_inference_steps": 1},
    ],
    ids=str,
)
def test_batches_and_guidance(pipe, arguments):
    expected = latents(pipe, **arguments)
    with parallel(pipe, window=4, tolerance=0):
        assert torch.allclose(latents(pipe, **arguments), expected, atol=2e-4)


def test_one_generator_per_image(pipe):
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)

    def draw():
        generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
        return pipe(["red", "blue"], generator=generators, num_inference_steps=6, output_type="latent").images

    expected = draw()
    with parallel(pipe, window=3, tolerance=0):
        assert torch.allclose(draw(), expected, atol=2e-4)


def test_image_to_image_starts_late(pipe):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    painter = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    painter.set_progress_bar_config(disable=True)
    expected = latents(painter, image=image, strength=0.6)
    with parallel(painter, window=4, tolerance=0):
        assert torch.allclose(latents(painter, image=image, strength=0.6), expected, atol=2e-4)


def test_tolerance_saves_iterations_and_stays_near(pipe):
    sampling = ParallelSampling(window=10, tolerance=0.1)
    expected = latents(pipe, num_inference_steps=50)
    with propagate(pipe, policy="all", injector="none", transforms=[sampling]):
        got = latents(pipe, num_inference_steps=50)
    assert sampling.iterations < 40
    assert sampling.evaluations > 50
    assert float((got - expected).norm() / expected.norm()) < 0.1
    assert sampling.report == f"{sampling.iterations} iterations, {sampling.evaluations} evaluations"


def test_the_ledger_counts_what_ran(pipe):
    sampling = ParallelSampling(window=5, tolerance=0.1)
    with propagate(pipe, policy="all", injector="none", transforms=[sampling]) as handle:
        latents(pipe, num_inference_steps=20)
        assert handle.ledger.rows("") == 2 * sampling.evaluations
        assert handle.ledger.rows("mid_block") == 2 * sampling.evaluations
        assert handle.ledger.passes("") == sampling.iterations
        counted = handle.ledger.gflops()
    with propagate(pipe, policy="all") as handle:
        latents(pipe, num_inference_steps=20)
        assert counted == pytest.approx(handle.ledger.gflops() * sampling.evaluations / 20)


def test_every_iteration_is_a_turn_of_the_pipelines_loop(pipe):
    seen = []

    def note(pipe, step, timestep, values):
        seen.append(values["latents"].clone())
        return {}

    with parallel(pipe, window=10, tolerance=0.1):
        got = latents(pipe, callback_on_step_end=note)
    assert len(seen) == 10
    assert torch.equal(seen[-1], got)


def test_what_it_cannot_be_combined_with(pipe):
    with pytest.raises(StackError, match=r"needs policy 'all', .* not in order"):
        propagate(pipe, injector="none", transforms=[ParallelSampling()])
    with pytest.raises(StackError, match=r"needs injector 'none', .* would be lost"):
        propagate(pipe, policy="all", transforms=[ParallelSampling()])


def test_solvers_with_a_memory_are_refused(pipe):
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(ConfigError, match="the pipeline has EulerDiscreteScheduler, take sampler ddim or ddpm"):
        parallel(pipe)


def test_a_run_that_failed_leaves_nothing_behind(pipe):
    expected = latents(pipe)

    def fail(pipe, step, timestep, values):
        if step == 3:
            raise KeyboardInterrupt
        return {}

    with parallel(pipe, window=3, tolerance=0):
        with pytest.raises(KeyboardInterrupt):
            latents(pipe, callback_on_step_end=fail)
        assert torch.allclose(latents(pipe), expected, atol=2e-4)


def test_two_calls_per_step_are_refused(pipe):
    sampling = ParallelSampling()
    sampling.apply(pipe)
    try:
        pipe.scheduler.set_timesteps(5)
        sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 16, 16)
        pipe.unet(sample, pipe.scheduler.timesteps[0], text)
        with pytest.raises(PropagationError, match="twice per step"):
            pipe.unet(sample, pipe.scheduler.timesteps[0], text)
    finally:
        sampling.undo(pipe)


@pytest.mark.parametrize("options", [{"window": 0}, {"tolerance": -1}], ids=str)
def test_options_that_cannot_be_right(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ParallelSampling(**options)
