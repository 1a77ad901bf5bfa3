"""What stock pipelines do around the denoiser: offsets, callbacks, several images, memory limits, other U-Nets."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import ConfigError, FdplugWarning, PropagationError, UnsupportedDenoiserError
from fdplug.testing import latents, tiny_pipeline

UNIFORM = {"uniform": {"interval": 3}}


def close(one, other):
    scale = max(1.0, float(other.abs().max()))
    return torch.allclose(one / scale, other / scale, atol=1e-4, rtol=0)


def both(pipe, run, **settings):
    """The same run decoded serially and in parallel."""
    outputs = []
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(pipe, decoding=decoding, **settings):
            outputs.append(run(pipe))
    return outputs


def variant(pipe, name):
    """Another stock pipeline class on the same components."""
    import diffusers

    other = getattr(diffusers, name)(**pipe.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def picture(value=0.5):
    return torch.full((1, 3, 16, 16), value)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "euler", "dpm-solver++"])
@pytest.mark.parametrize("strength", [1.0, 0.6, 0.3])
def test_image_to_image_starts_late(pipe, sampler, strength):
    """The first step that is run is always a key step; policies that know the start count from it."""
    pipe.scheduler = registry.build("sampler", sampler).build(pipe.scheduler.config)
    other = variant(pipe, "StableDiffusionImg2ImgPipeline")

    def run(other):
        return latents(other, image=picture(), strength=strength)

    baseline = run(other)
    with fdplug.propagate(other, policy="all", injector="none") as on:
        assert torch.equal(run(other), baseline)
        taken = on.ledger.steps
    serial, parallel = both(other, run, policy=UNIFORM)
    assert close(parallel, serial)
    with fdplug.propagate(other, policy=UNIFORM) as on:
        run(other)
    assert on.ledger.key_steps == taken[::3]


def test_strength_may_change_between_calls(pipe):
    other = variant(pipe, "StableDiffusionImg2ImgPipeline")
    with fdplug.propagate(other, policy=UNIFORM):
        first = latents(other, image=picture(), strength=0.8)
        latents(other, image=picture(), strength=0.4)
        assert torch.equal(latents(other, image=picture(), strength=0.8), first)


def test_inpainting_serial_equals_parallel(pipe):
    other = variant(pipe, "StableDiffusionInpaintPipeline")
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1

    def run(other):
        return latents(other, image=picture(), mask_image=mask, strength=0.9, height=16, width=16)

    serial, parallel = both(other, run, policy=UNIFORM)
    assert close(parallel, serial)
    assert not close(serial, run(other))


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_batch_equals_its_singles(pipe, decoding):
    start = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    prompts = ["red", "blue", "green"]
    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding):
        batch = latents(pipe, prompts, latents=start)
        for index, prompt in enumerate(prompts):
            assert close(latents(pipe, prompt, latents=start[index : index + 1]), batch[index : index + 1])


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_max_span_batch_bounds_every_call_and_changes_nothing(pipe, limit):
    """Spans of 5 steps with 2 rows each; a limit below one step's rows decodes one step at a time."""
    policy = {"uniform": {"interval": 5}}
    with fdplug.propagate(pipe, policy=policy, decoding="serial"):
        serial = latents(pipe)
    with fdplug.propagate(pipe, policy=policy, max_span_batch=limit) as on:
        assert close(latents(pipe), serial)
    calls = [entry for entry in on.ledger.entries if entry.module == ""]
    assert all(entry.rows <= max(limit, 2) for entry in calls)
    assert len(calls) == {1: 10, 2: 10, 4: 6, 5: 6, 100: 2}[limit]
    assert on.ledger.passes("conv_in") == 2


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_callbacks_see_every_step_and_may_change_the_sample(pipe, decoding):
    seen = []

    def nudge(pipe, step, timestep, tensors):
        seen.append(step)
        return {"latents": tensors["latents"] * 1.01}

    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding):
        latents(pipe, callback_on_step_end=nudge)
    assert seen == list(range(10))


def test_a_sample_changed_by_a_callback_counts_the_same_in_both_decodings(pipe):
    def nudge(pipe, step, timestep, tensors):
        return {"latents": tensors["latents"] * 1.01}

    serial, parallel = both(pipe, lambda pipe: latents(pipe, callback_on_step_end=nudge), policy=UNIFORM)
    assert close(parallel, serial)


def test_a_prompt_changed_within_a_span_is_heeded_with_a_warning(pipe):
    def swap(pipe, step, timestep, tensors):
        return {"prompt_embeds": -tensors["prompt_embeds"]} if step == 4 else {}

    arguments = {"callback_on_step_end": swap, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with fdplug.propagate(pipe, policy=UNIFORM, decoding="serial"):
        serial = latents(pipe, **arguments)
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.warns(FdplugWarning, match="conditioning changed within a span"),
    ):
        assert close(latents(pipe, **arguments), serial)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_guidance_switched_off_within_a_span_makes_a_new_key_step(pipe, decoding):
    """The batch halves: features kept for the larger one are of no use, and the step is computed."""

    def off(pipe, step, timestep, tensors):
        if step != 4:
            return {}
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": tensors["prompt_embeds"].chunk(2)[-1]}

    arguments = {"callback_on_step_end": off, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding) as on:
        latents(pipe, guidance_scale=5.0, **arguments)
    assert on.ledger.key_steps == (0, 3, 5, 6, 9)


def test_freeu_serial_equals_parallel(pipe):
    """FreeU writes into the features it is given: what is kept must not change."""
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
    pipe.unet.up_blocks[0].resnets[0].in_channels  # noqa: B018 - documents that the hook sits in the up blocks
    for index, block in enumerate(pipe.unet.up_blocks):
        block.resolution_idx = index
    serial, parallel = both(pipe, latents, policy=UNIFORM)
    assert close(parallel, serial)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_v_prediction_and_uneven_sizes(pipe, prediction):
    pipe.scheduler.register_to_config(prediction_type=prediction)

    def run(pipe):
        return latents(pipe, height=24, width=40)

    serial, parallel = both(pipe, run, policy=UNIFORM)
    assert close(parallel, serial)


def test_a_unet_of_other_depth():
    """No assumption on four levels, nor on layers per block."""
    pipe = tiny_pipeline(
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=(1, 3),
    )
    serial, parallel = both(pipe, latents, policy=UNIFORM)
    assert close(parallel, serial)


@pytest.mark.parametrize("part", ["encoder", "decoder", "encoder+decoder"])
def test_parts_replay_what_they_say(pipe, part):
    """Table 14: at a replayed step only the modules outside of the part run."""
    with fdplug.propagate(pipe, policy=UNIFORM, part=part, decoding="serial", injector="none") as on:
        assert not close(latents(pipe), latents(tiny_pipeline()))
    runs = {name: on.ledger.passes(name) for name in on.method.part.modules}
    assert set(runs.values()) == {4}
    assert on.ledger.passes("") == 10


def test_encoder_and_decoder_replayed_in_parallel_equal_serial(pipe):
    serial, parallel = both(pipe, latents, policy=UNIFORM, part="encoder+decoder")
    assert close(parallel, serial)


def test_dropping_differs_from_reuse_and_is_the_same_in_both_decodings(pipe):
    serial, parallel = both(pipe, latents, policy=UNIFORM, cache="drop")
    assert close(parallel, serial)
    with fdplug.propagate(pipe, policy=UNIFORM):
        assert not close(latents(pipe), serial)


def test_what_cannot_be_parallel_is_refused_or_decoded_serially(pipe):
    with pytest.raises(ConfigError, match="'decoder' every prediction depends on the sample; take decoding='serial'"):
        fdplug.propagate(pipe, part="decoder", decoding="parallel")
    with fdplug.propagate(pipe, part="decoder") as on:
        assert not on.method.parallel


def test_an_unknown_denoiser_is_an_error_that_names_what_is_supported(pipe):
    pipe.register_modules(unet=torch.nn.Linear(2, 2))
    with pytest.raises(
        UnsupportedDenoiserError, match=r"cannot accelerate denoiser Linear; supported are .*UNet2DCond"
    ):
        fdplug.propagate(pipe)


def test_a_part_without_modules_is_an_error():
    pipe = tiny_pipeline(
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
    )
    with pytest.raises(PropagationError, match="'decoder' of UNet2DConditionModel holds no module"):
        fdplug.propagate(pipe, part="decoder")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": {"uniform": {"interval": 0}}}, "interval must be a whole number of at least 1, got 0"),
        ({"policy": {"uniform": {"intreval": 2}}}, "has no option 'intreval', did you mean 'interval'"),
        ({"injector": {"prior": {"alpha": -1}}}, "alpha must be a number of at least 0, got -1"),
        ({"injector": {"prior": {"tau": 2}}}, "tau must be a number between 0 and 1"),
        ({"decoding": "both"}, "decoding must be one of auto, parallel, serial; got 'both'"),
        ({"max_span_batch": 0}, "max_span_batch must be a whole number of at least 1"),
        ({"part": "encodr"}, "no part 'encodr' in family 'unet-2d-condition'; it has encoder"),
        ({"cache": "resue"}, "no cache 'resue', did you mean 'reuse'"),
        ({"policy": {"explicit": {"steps": []}}}, "steps is empty"),
        ({"policy": {"explicit": {"steps": [-1]}}}, "a key step must be a whole number of at least 0, got -1"),
        ({"policy": "explicit"}, "'explicit' needs steps"),
    ],
)
def test_bad_settings_are_refused_at_the_door(pipe, settings, message):
    with pytest.raises(ConfigError, match=message):
        fdplug.propagate(pipe, **settings)
    assert "forward" not in pipe.unet.__dict__
