"""No silent no-op: whatever a run is made of, it is followed, or somebody is told that it is not."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler

import fdplug
from fdplug.errors import FdplugWarning, NoEffectWarning, PipelineError, PropagationError
from fdplug.testing import latents, tiny_pipeline, tiny_unet

KEYS = {"explicit": {"steps": [0, 6]}}
UNIFORM = {"uniform": {"interval": 3}}
STEPS = 12


@torch.no_grad()
def loop(pipe, own_formula=False, set_timesteps=True, network=None):
    """A loop of one's own; without `set_timesteps` they were set before."""
    sample, text = torch.ones(1, 4, 8, 8), torch.ones(1, 6, 16)
    if set_timesteps:
        pipe.scheduler.set_timesteps(STEPS)
    for timestep in pipe.scheduler.timesteps:
        noise = (network or pipe.unet)(sample, timestep, encoder_hidden_states=text).sample
        sample = sample - 0.1 * noise if own_formula else pipe.scheduler.step(noise, timestep, sample).prev_sample
    return sample


@pytest.fixture
def bare():
    """What a loop of one's own needs, and no pipeline."""
    return SimpleNamespace(unet=tiny_unet(), scheduler=DDIMScheduler())


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_timesteps_may_be_set_before(bare, decoding):
    with fdplug.propagate(bare, policy=KEYS, injector="none", decoding=decoding) as on:
        expected = loop(bare)
    bare.scheduler.set_timesteps(STEPS)
    with fdplug.propagate(bare, policy=KEYS, injector="none", decoding=decoding) as on:
        assert torch.equal(loop(bare, set_timesteps=False), expected)
        assert on.ledger.key_steps == (0, 6)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_loop_with_a_formula_of_its_own_is_followed(bare, decoding):
    with fdplug.propagate(bare, policy=KEYS, injector="none", decoding=decoding) as on:
        loop(bare, own_formula=True)
        assert on.ledger.key_steps == (0, 6)
        assert on.ledger.rows("") == STEPS


def test_noise_that_cannot_be_injected_is_told(bare):
    with (
        fdplug.propagate(bare, policy=KEYS, injector={"prior": {"alpha": 0.01}}),
        pytest.warns(NoEffectWarning, match=r"takes steps without scheduler\.step, so that no prior noise"),
    ):
        loop(bare, own_formula=True)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_loop_that_leaves_steps_out_is_told_and_decodes_little_in_vain(bare, decoding):
    """Every other one of the scheduler's timesteps: each is computed, as nothing is kept for a step so far away."""

    @torch.no_grad()
    def strided():
        sample, text = torch.ones(1, 4, 8, 8).double(), torch.ones(1, 6, 16).double()
        bare.scheduler.set_timesteps(STEPS)
        for timestep in bare.scheduler.timesteps[::2]:
            noise = bare.unet(sample, timestep, encoder_hidden_states=text).sample
            sample = bare.scheduler.step(noise, timestep, sample).prev_sample
        return sample

    bare.unet.double()  # batches of other sizes round otherwise, and five steps make more of it
    stock = strided()
    on = fdplug.propagate(bare, policy=KEYS, injector="none", decoding=decoding)
    assert torch.allclose(strided(), stock, atol=1e-5)
    with pytest.warns(NoEffectWarning, match=r"went to steps 0, 2, 4, 6, 8, \.\.\. of the scheduler's"):
        on.remove()
    assert on.ledger.rows("") <= 6 + 2 * 5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_conditioning_changed_in_place_is_noticed_in_inference_mode_too(bare, mode):
    """Its tensors do not count how often they are written to: the images are those of the other mode."""

    def changing():
        with mode():
            sample, text = torch.ones(1, 4, 8, 8), torch.linspace(-1, 1, 96).view(1, 6, 16)
            bare.scheduler.set_timesteps(STEPS)
            for index, timestep in enumerate(bare.scheduler.timesteps):
                if index == 3:
                    text.neg_()
                noise = bare.unet(sample, timestep, encoder_hidden_states=text).sample
                sample = bare.scheduler.step(noise, timestep, sample).prev_sample
            return sample

    with fdplug.propagate(bare, policy=KEYS, injector="none", decoding="serial") as on:
        serial = changing()
        assert on.ledger.key_steps == (0, 3, 6)
    with (
        fdplug.propagate(bare, policy=KEYS, injector="none"),
        pytest.warns(FdplugWarning, match="the conditioning changed within a span"),
    ):
        assert torch.allclose(changing(), serial, atol=1e-4)


@pytest.mark.parametrize("name", ["pipeline", "loop"])
def test_an_exchanged_denoiser_is_followed_with_a_warning(pipe, bare, name):
    """As if it had been there from the beginning; the old one is clean."""
    one, run = (pipe, latents) if name == "pipeline" else (bare, loop)
    old, new = one.unet, tiny_unet() if name == "loop" else tiny_pipeline(seed=1).unet
    one.unet = new
    with fdplug.propagate(one, policy=UNIFORM) as on:
        expected = run(one)
    one.unet = old
    with fdplug.propagate(one, policy=UNIFORM) as on:
        run(one)
        one.unet = new
        with pytest.warns(FdplugWarning, match="unet was exchanged, UNet2DConditionModel for UNet2DConditionModel"):
            assert torch.equal(run(one), expected)
        assert "_call_impl" not in vars(old)
        assert on.ledger.key_steps[:3] == (0, 3, 6)
    assert "_call_impl" not in vars(new)


def test_a_run_that_never_calls_the_denoiser_is_told(bare):
    with (
        fdplug.propagate(bare, policy=KEYS, injector="none") as on,
        pytest.warns(NoEffectWarning, match="the scheduler takes steps, and the UNet2DConditionModel"),
    ):
        loop(bare, network=tiny_unet())
    assert not on.ledger.entries


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_picture_that_is_made_in_the_middle_of_another_is_told(pipe, decoding):
    """The inner one is accelerated; the steps of the outer one that are left are computed as they are."""
    made = []

    def preview(pipe, step, timestep, tensors):
        if step == 4 and not made:
            made.append(None)
            made[0] = latents(pipe)
        return tensors

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none", decoding=decoding):
        expected = latents(pipe)
        with pytest.warns(NoEffectWarning, match="goes on after another has gone through the timesteps"):
            outer = latents(pipe, callback_on_step_end=preview)
    assert torch.equal(made[0], expected)
    on = fdplug.propagate(pipe, policy=UNIFORM, injector="none", decoding=decoding)
    assert torch.equal(outer, latents(pipe, callback_on_step_end=lambda *args: (args[1] == 4 and on.remove()) or {}))


def test_a_copy_of_the_pipeline_with_a_scheduler_of_its_own_is_left_as_it_is_and_told(pipe):
    copied = copy.copy(pipe)
    copied.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    expected = latents(copied)
    with fdplug.propagate(pipe, policy=UNIFORM):
        with pytest.warns(NoEffectWarning, match="StableDiffusionPipeline with a scheduler of its own uses the UNet2D"):
            assert torch.equal(latents(copied), expected)
        latents(pipe)


def test_a_pipeline_that_steps_a_scheduler_of_its_own_making_is_told(pipe):
    class Copying(type(pipe)):
        def __call__(self, **arguments):
            scheduler = copy.deepcopy(self.scheduler)
            scheduler.set_timesteps(4)
            with torch.no_grad():
                return self.unet(torch.ones(1, 4, 8, 8), scheduler.timesteps[0], torch.ones(1, 16, 16)).sample

    own = Copying(**pipe.components, requires_safety_checker=False)
    with fdplug.propagate(own), pytest.warns(NoEffectWarning, match="has not set the timesteps of its scheduler"):
        own()


# --- what needs the inside of the part -------------------------------------------------------------------------------


class Storing:
    """An attention processor that keeps its maps for a pipeline to read."""

    def __init__(self):
        self.maps = []

    def __call__(self, attn, hidden_states, *args, **kwargs):
        self.maps.append(hidden_states.detach())
        return attn.to_out[0](attn.to_v(hidden_states))


def test_maps_stored_inside_the_part_are_refused(pipe):
    pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor = Storing()
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"Storing, inside part 'encoder', stores something at every pass"),
    ):
        latents(pipe)
    plain = latents(pipe)
    with fdplug.propagate(pipe, policy="all", injector="none"):
        assert torch.equal(latents(pipe), plain)


def test_a_processor_that_stores_nothing_is_replayed(pipe):
    class Silent(Storing):
        def __call__(self, attn, hidden_states, *args, **kwargs):
            return attn.to_out[0](attn.to_v(hidden_states))

    pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor = Silent()
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        latents(pipe)
    assert on.ledger.key_steps == (0, 3, 6, 9)
    assert on.ledger.one_by_one is None


def test_a_gradient_through_a_replayed_denoiser_is_refused(bare):
    bare.scheduler.set_timesteps(STEPS)
    sample = torch.ones(1, 4, 8, 8, requires_grad=True)
    with (
        fdplug.propagate(bare, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"is called for a gradient.*torch\.no_grad"),
    ):
        bare.unet(sample, bare.scheduler.timesteps[0], torch.ones(1, 6, 16))


def test_a_scheduler_whose_state_is_put_back_within_the_run_is_refused_and_left_clean(pipe):
    """As pipelines with several views do; between runs it is followed."""

    def swap(pipe, step, timestep, tensors):
        pipe.scheduler.__dict__.update(copy.deepcopy(pipe.scheduler.__dict__))
        return tensors

    with fdplug.propagate(pipe, policy=UNIFORM):
        expected = latents(pipe)
        with pytest.raises(PipelineError, match="the state of its DDIMScheduler is put back while it goes on"):
            latents(pipe, callback_on_step_end=swap)
    assert {"step", "set_timesteps"}.isdisjoint(vars(pipe.scheduler))
    with fdplug.propagate(pipe, policy=UNIFORM):
        swap(pipe, 0, 0, {})
        assert torch.equal(latents(pipe), expected)


# --- rows and weights -------------------------------------------------------------------------------------------------


def across(module, args, output):
    """Subtract the mean over the rows."""
    return output - output.mean(0, keepdim=True)


def test_a_hook_in_the_decoder_that_may_look_across_rows_is_decoded_serially(pipe):
    pipe.unet.up_blocks[0].resnets[0].register_forward_hook(across)
    with fdplug.propagate(pipe, policy=UNIFORM, decoding="serial"):
        serial = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        assert torch.equal(latents(pipe), serial)
    assert "the hook of up_blocks.0.resnets.0, from tests.propagation.test_silence" in on.ledger.one_by_one


def test_a_forward_wrapped_by_somebody_else_is_decoded_serially(pipe):
    block = pipe.unet.up_blocks[0].resnets[0]
    inner = block.forward
    block.forward = lambda *args, **kwargs: across(block, args, inner(*args, **kwargs))
    with fdplug.propagate(pipe, policy=UNIFORM, decoding="serial"):
        serial = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        assert torch.equal(latents(pipe), serial)
    assert "the forward of up_blocks.0.resnets.0" in on.ledger.one_by_one


def test_weights_changed_in_place_within_a_span_void_what_was_decoded_ahead(pipe):
    def run(decoding):
        one = tiny_pipeline()

        def scale(pipe, step, timestep, tensors):
            if step == 4:
                with torch.no_grad():
                    one.unet.conv_out.weight.mul_(0.5)
            return tensors

        with fdplug.propagate(one, policy=UNIFORM, decoding=decoding):
            return latents(one, callback_on_step_end=scale)

    serial = run("serial")
    with pytest.warns(FdplugWarning, match="denoiser changed within a span"):
        parallel = run("auto")
    assert torch.allclose(parallel, serial, atol=1e-4 * float(serial.abs().max()))
