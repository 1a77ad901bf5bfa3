"""Early stop: the image-to-image pipeline's image, the steps that are left, and the prior's cost."""

from __future__ import annotations

import json
import warnings

import diffusers
import numpy as np
import pytest
import scipy.integrate
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from fdplug_earlystop import EarlyStop
from PIL import Image

from fdplug import propagate
from fdplug.errors import ConfigError, DataError, PropagationError, StackError
from fdplug.testing import check_transform, latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

PLAIN = {"policy": "all", "injector": "none"}


@pytest.fixture
def pipe():
    return tiny_pipeline()


def stopping(pipe, **options):
    return propagate(pipe, **PLAIN, transforms=[EarlyStop(**options)])


def picture(shape, seed=3):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def clean(count=1, seed=3):
    """Latents as a prior gives them."""
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def painter(pipe):
    """The image-to-image pipeline of the same networks, with a scheduler of its own."""
    parts = {**pipe.components, "scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config)}
    made = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def with_scheduler(pipe, name, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **changes)
    return pipe


def test_contract():
    check_transform(EarlyStop(strength=0.5, steps=2))


SCHEDULERS = [
    ("DDIMScheduler", {}),
    ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    ("DDPMScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {"lower_order_final": False}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {"lower_order_final": False}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
]


@pytest.mark.parametrize(("name", "changes"), SCHEDULERS, ids=str)
def test_it_is_the_image_to_image_pipeline_with_that_strength(pipe, name, changes):
    with_scheduler(pipe, name, **changes)
    arguments = {"num_inference_steps": 8, "prompt": ["red", "blue"]}
    expected = latents(painter(pipe), image=clean(2), strength=0.5, **arguments)
    with stopping(pipe, strength=0.5, prior=lambda asked: clean(2)):
        assert torch.allclose(latents(pipe, **arguments), expected, atol=1e-4)


def test_images_are_encoded_by_the_pipelines_own_vae(pipe):
    images = picture((1, 3, 16, 16))
    with torch.no_grad():
        encoded = pipe.vae.encode(2 * images - 1).latent_dist.mean * pipe.vae.config.scaling_factor
    expected = latents(painter(pipe), image=encoded, strength=0.3)
    as_pil = Image.fromarray((images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    with stopping(pipe, strength=0.3, prior=lambda asked: images):
        assert torch.allclose(latents(pipe), expected, atol=1e-4)
    with stopping(pipe, strength=0.3, prior=lambda asked: [as_pil]):
        assert torch.allclose(latents(pipe), expected, atol=0.1)


@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_flow_models_too_whose_latents_are_prepared_before_the_steps(name):
    system = SYSTEMS[name]
    pipe = system.make()
    made = {"sd3": "StableDiffusion3Img2ImgPipeline", "flux": "FluxImg2ImgPipeline"}[name]
    parts = {**pipe.components, "scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config)}
    other = getattr(diffusers, made)(**parts)
    other.set_progress_bar_config(disable=True)
    with propagate(pipe, **PLAIN) as handle:
        system.run(pipe)
        steps = handle.ledger.num_steps
    channels = pipe.vae.config.latent_channels
    seen = {}

    def prior(asked):
        seen["noise"] = asked.noise
        side = asked.height // pipe.vae_scale_factor
        given = torch.randn(len(asked.noise), channels, side, side, generator=torch.Generator().manual_seed(1))
        seen["given"] = given
        return given if name == "sd3" else pipe._pack_latents(given, *given.shape)

    with stopping(pipe, strength=0.5, prior=prior) as handle:
        got = system.run(pipe, guidance_scale=5.0)
        assert handle.ledger.steps == tuple(range(steps // 2))
    expected = system.run(other, image=seen["given"], strength=0.5, guidance_scale=5.0)
    assert torch.allclose(got, expected, atol=1e-4)


def test_a_solver_of_several_steps_begins_anew(pipe):
    """As in a run of its own over the levels that are left; image-to-image uses coefficients of steps never taken."""
    with_scheduler(pipe, "LMSDiscreteScheduler")
    alone = type(pipe.scheduler).from_config(pipe.scheduler.config)
    alone.set_timesteps(8)
    seen = []
    with stopping(pipe, strength=0.5, prior=lambda asked: seen.append(asked.noise) or clean()):
        got = latents(pipe, num_inference_steps=8, guidance_scale=1.0)
    text = pipe.encode_prompt("a red circle", "cpu", 1, False)[0]
    levels, times, slopes = alone.sigmas[4:].double(), alone.timesteps[4:], []
    sample = clean() + seen[0] * levels[0].float()
    for step in range(4):
        scaled = sample / (levels[step] ** 2 + 1).sqrt().float()
        with torch.no_grad():
            slopes.insert(0, pipe.unet(scaled, times[step], text).sample)
        nodes = [float(levels[step - back]) for back in range(min(step + 1, 4))]
        weights = [_lagrange(nodes, one, float(levels[step]), float(levels[step + 1])) for one in nodes]
        sample = sample + sum(weight * slope for weight, slope in zip(weights, slopes, strict=False))
    assert torch.allclose(got, sample, atol=1e-3)


def _lagrange(nodes, one, begin, end):
    """The integral of the polynomial that is 1 at `one` and 0 at the other nodes."""
    others = [other for other in nodes if other != one]
    return scipy.integrate.quad(lambda x: np.prod([(x - other) / (one - other) for other in others]), begin, end)[0]


def test_policies_plan_the_steps_that_are_left(pipe):
    settings = {"policy": {"uniform": {"interval": 3}}, "injector": "none"}
    stop = EarlyStop(strength=0.6, prior=lambda asked: clean())
    with propagate(pipe, **settings, transforms=[stop]) as handle:
        latents(pipe, num_inference_steps=20)
        assert handle.ledger.num_steps == 12
        assert handle.ledger.key_steps == (0, 3, 6, 9)
    image_to_image = painter(pipe)
    with propagate(image_to_image, **settings) as handle:
        expected = latents(image_to_image, num_inference_steps=20, image=clean(), strength=0.6)
        assert len(handle.ledger.key_steps) == 4
    with propagate(pipe, **settings, transforms=[stop]):
        assert torch.allclose(latents(pipe, num_inference_steps=20), expected, atol=1e-4)


def test_the_own_prior_begins_with_the_same_noise_and_asks_for_the_same(pipe):
    plain = latents(pipe, num_inference_steps=4, guidance_scale=3.0, negative_prompt="square")
    seen = {}

    def spying(pipe, step, timestep, values):
        seen.setdefault("first", values["latents"].clone())
        return {}

    with stopping(pipe, strength=0.5, steps=4):
        got = latents(pipe, guidance_scale=3.0, negative_prompt="square", callback_on_step_end=spying)
    with stopping(pipe, strength=0.5, prior=lambda asked: plain):
        assert torch.equal(latents(pipe, guidance_scale=3.0, negative_prompt="square"), got)


@pytest.mark.parametrize("name", ["controlnet", "ltx-video", "flux2"])
def test_the_own_prior_is_what_a_shorter_run_of_the_same_call_ends_with(name):
    """As a callback sees it: ControlNet needs its image once more, LTX-Video and Flux 2 have forms of their own."""
    system = SYSTEMS[name]
    pipe, seen = system.make(), []

    def keep(pipe, step, timestep, values):
        seen.append(values["latents"].clone())
        return {}

    system.run(pipe, num_inference_steps=3, callback_on_step_end=keep)
    with stopping(pipe, strength=0.5, prior=lambda asked: seen[-1]):
        expected = system.run(pipe)
    with stopping(pipe, strength=0.5, steps=3) as handle:
        assert torch.equal(system.run(pipe), expected)
        main = {entry.network for entry in handle.ledger.entries} - {"prior", "controlnet"}
        assert handle.ledger.rows("", "prior") == handle.ledger.rows("", *main)


REFUSED = {
    "begins with an image of its own": {"sd-img2img", "sd-inpaint", "sdxl-img2img", "sdxl-refiner"},
    "begins with an image of its own ": {"flux-kontext", "flux-img2img", "flux-fill"},
    "has no prepare_latents": {"if-1", "if-2", "dit", "ddpm", "ddim"},
    "cannot be its own prior": {"kandinsky5", "text2video-zero"},
    "the prior gave": {"text-to-video"},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "error::fdplug.errors.FdplugWarning")
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_its_own_prior_or_is_refused_with_the_reason(name):
    system = SYSTEMS[name]
    pipe = system.make()
    plain = system.run(pipe)
    reason = next((reason for reason, names in REFUSED.items() if name in names), None)
    if reason is not None:
        with pytest.raises((ConfigError, PropagationError), match=reason), stopping(pipe, strength=0.5, steps=2):
            system.run(pipe)
        return
    with stopping(pipe, strength=0.5, steps=2) as handle:
        got = system.run(pipe)
        assert torch.equal(system.run(pipe), got)
        assert handle.ledger.rows("", "prior") > 0
    assert torch.equal(system.run(pipe), plain)
    assert not torch.equal(got, plain)


def test_a_smaller_or_better_sampled_prior_is_made_image_by_image(pipe):
    options = {"strength": 0.5, "steps": 3, "size": 8, "sampler": {"dpm-solver++": {"karras": True}}}
    with stopping(pipe, **options):
        generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
        both = pipe(["red", "blue"], generator=generators, num_inference_steps=6, output_type="latent").images
        alone = pipe("blue", generator=generators[1].manual_seed(6), num_inference_steps=6, output_type="latent").images
    assert torch.allclose(both[1:], alone, atol=1e-4)


def test_the_ledger_counts_the_prior(pipe):
    with propagate(pipe, **PLAIN) as handle:
        latents(pipe, num_inference_steps=20)
        one = handle.ledger.gflops() / 20
    with stopping(pipe, strength=0.5, steps=4) as handle:
        latents(pipe, num_inference_steps=20)
        assert handle.ledger.gflops() == pytest.approx(14 * one)
        assert handle.ledger.steps == tuple(range(10))
        assert handle.ledger.rows("", "prior") == 2 * 4
        assert handle.ledger.uncounted == ()
        latents(pipe, num_inference_steps=10)
        assert handle.ledger.gflops() == pytest.approx(9 * one)


@pytest.mark.slow
def test_another_pipelines_prior_is_counted_with_its_own_cost(pipe, tmp_path):
    tiny_pipeline(block_out_channels=(4, 4, 8, 8)).save_pretrained(tmp_path)
    small = tiny_pipeline(block_out_channels=(4, 4, 8, 8))
    costs = []
    for one in (pipe, small):
        with propagate(one, **PLAIN) as handle:
            latents(one, num_inference_steps=2)
            costs.append(handle.ledger.gflops() / 2)
    with stopping(pipe, strength=0.5, prior=str(tmp_path), steps=3) as handle:
        latents(pipe, num_inference_steps=8)
        assert handle.ledger.gflops() == pytest.approx(4 * costs[0] + 3 * costs[1])


def test_what_cannot_be_counted_is_said(pipe):
    with stopping(pipe, strength=0.5, prior=lambda asked: clean()) as handle:
        latents(pipe)
        assert handle.ledger.uncounted == ("what the prior took: a function's images",)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("manifest.jsonl", {"file": "x.png", "caption": "a red circle"}),
        ("metadata.jsonl", {"file_name": "x.png", "text": "a red circle"}),
    ],
    ids=["ours", "hugging face's"],
)
def test_a_folder_gives_the_images_of_the_captions(pipe, tmp_path, file, line):
    image = Image.fromarray((picture((16, 16, 3)).numpy() * 255).astype(np.uint8))
    image.save(tmp_path / "x.png")
    (tmp_path / file).write_text(json.dumps(line) + "\n")
    with stopping(pipe, strength=0.4, prior=lambda asked: [image]):
        expected = latents(pipe)
    with stopping(pipe, strength=0.4, prior=str(tmp_path)) as handle:
        assert torch.equal(latents(pipe), expected)
        assert handle.ledger.uncounted == (f"what the prior took: the images of {tmp_path.name}",)
        with pytest.raises(DataError, match="holds no image of 'a blue square'; it has 1 captions"):
            latents(pipe, "a blue square")


def test_the_users_latents_are_not_written_to(pipe):
    given = clean(seed=9)
    before = given.clone()
    with stopping(pipe, strength=0.5, steps=2):
        latents(pipe, latents=given)
    assert torch.equal(given, before)


def test_a_run_that_failed_leaves_nothing_behind(pipe):
    plain = latents(pipe)

    def broken(asked):
        raise KeyboardInterrupt

    with stopping(pipe, strength=0.5, prior=broken), pytest.raises(KeyboardInterrupt):
        latents(pipe)
    assert torch.equal(latents(pipe), plain)
    with stopping(pipe, strength=0.5, steps=2):
        first = latents(pipe)
        with pytest.raises(ValueError, match="callback"):
            latents(pipe, callback_on_step_end=lambda *_: (_ for _ in ()).throw(ValueError("callback")))
        assert torch.equal(latents(pipe), first)
    assert torch.equal(latents(pipe), plain)


def test_a_loop_of_ones_own_is_refused(pipe):
    with stopping(pipe, strength=0.5, steps=2):
        pipe.scheduler.set_timesteps(4)
        sample = torch.zeros(1, 4, 8, 8)
        with pytest.raises(PropagationError, match="a loop of your own prepared none"):
            pipe.scheduler.step(sample, pipe.scheduler.timesteps[0], sample)


def test_pipelines_that_begin_with_an_image_are_refused(pipe):
    with pytest.raises(ConfigError, match=r"begins with an image of its own \(image, timestep\)"):
        stopping(painter(pipe))


def test_noise_injection_is_refused(pipe):
    with pytest.raises(StackError, match=r"needs injector 'none', .* a noised picture and no noise"):
        propagate(pipe, policy="all", transforms=[EarlyStop()])


def test_the_bar_ends_with_the_steps_that_are_left(pipe, capsys):
    pipe.set_progress_bar_config(disable=False)
    with stopping(pipe, strength=0.5, steps=2):
        latents(pipe)
    assert "5/5" in capsys.readouterr().err


def test_a_run_of_which_nothing_is_left_is_refused(pipe):
    with (
        stopping(pipe, strength=0.05, steps=2),
        pytest.raises(PropagationError, match=r"no step is left of 10: strength 0\.05"),
    ):
        latents(pipe)


def test_a_prior_of_the_wrong_shape_is_refused(pipe):
    wrong = stopping(pipe, strength=0.5, prior=lambda asked: torch.rand(2, 3, 16, 16))
    with wrong, pytest.raises(PropagationError, match=r"1 images \(B, 3, H, W\) from 0 to 1 are needed"):
        latents(pipe)


def test_a_folder_of_neither_is_refused(pipe, tmp_path):
    with pytest.raises(ConfigError, match="is neither a pipeline's folder"):
        stopping(pipe, prior=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0}, "leaves no step"),
        ({"strength": 1}, "leaves every step"),
        ({"steps": 0}, "steps"),
        ({"size": 0}, "size"),
        ({"prior": 3}, "prior must be own, a hub id"),
        ({"sampler": "ddmi"}, "sampler must be one of"),
    ],
    ids=str,
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(ConfigError, match=message):
        EarlyStop(**options)
