"""What users put around a pipeline: other precisions, slicing, adapters, ControlNets, hand-overs, other parts."""

from __future__ import annotations

import copy

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import ConfigError, NoEffectWarning, PipelineError, PropagationError, UnsupportedDenoiserError
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import UNIFORM, close
from tests.denoisers.shorthand import both, propagated, run


@pytest.fixture
def sd():
    """Stable Diffusion with two levels, this test's own."""
    return SYSTEMS["sd-v"].make()


# --- precision, slicing, FreeU, processors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd-v", "sdxl", "dit", "flux"])
def test_bfloat16(name):
    """Serial and parallel round alike but not equally."""
    pipe = SYSTEMS[name].make().to(dtype=torch.bfloat16)
    fixed = {"prompt_embeds", "pooled_prompt_embeds", "negative_prompt_embeds", "negative_pooled_prompt_embeds"}
    changes = {key: one.bfloat16() for key, one in SYSTEMS[name].arguments(1).items() if key in fixed}
    serial, _ = propagated(pipe, name, changes, decoding="serial")
    parallel, ledger = propagated(pipe, name, changes)
    assert len(ledger.key_steps) == 2
    assert close(parallel.float(), serial.float(), 0.1)


def test_vae_slicing_and_tiling(sd):
    plain, _ = propagated(sd, changes={"output_type": "pt"})
    sd.vae.enable_slicing()
    sd.vae.enable_tiling()
    sliced, _ = propagated(sd, changes={"output_type": "pt"})
    assert close(sliced, plain)


def test_freeu(sd):
    plain, _ = both(sd)
    sd.enable_freeu(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
    with_freeu, _ = both(sd)
    assert with_freeu.shape == plain.shape


def test_attention_slicing_and_processors(sd):
    from diffusers.models.attention_processor import AttnProcessor

    plain, _ = both(sd)
    sd.enable_attention_slicing(1)
    assert close(both(sd)[0], plain)
    sd.disable_attention_slicing()
    sd.unet.set_attn_processor(AttnProcessor())
    assert close(both(sd)[0], plain)


def test_processors_exchanged_while_propagated_are_heeded(sd):
    from diffusers.models.attention_processor import AttnProcessor

    with fdplug.propagate(sd, policy=UNIFORM):
        expected = run(sd)
        sd.unet.set_attn_processor(AttnProcessor())
        assert close(run(sd), expected)


def test_merged_lora_weights(sd):
    """Low-rank weights added to the attention's own, as `fuse_lora` leaves them."""
    before, _ = both(sd)
    generator = torch.Generator().manual_seed(1)
    for name, module in sd.unet.named_modules():
        if name.endswith("to_q"):
            up, down = (torch.randn(size, 2, generator=generator) for size in module.weight.shape)
            module.weight.data += 0.2 * up @ down.T
    after, _ = both(sd)
    assert not close(after, before, 1e-3)


def test_lora_loaded(sd):
    peft = pytest.importorskip("peft", reason="diffusers loads LoRA through peft")
    sd.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    with_adapter, _ = both(sd)
    sd.unet.disable_adapters()
    assert not close(both(sd)[0], with_adapter, 1e-3)


# --- ControlNet ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["controlnet", "controlnet-several", "sdxl-controlnet"])
def test_a_controlnet_runs_at_key_steps_only(cases, name):
    case = cases(name)
    _, ledger = case.propagated(policy=UNIFORM)
    assert ledger.passes("", "controlnet") == 2
    assert ledger.rows("", "controlnet") == 4
    _, whole = case.propagated(policy="all", injector="none")
    assert ledger.gflops() < 0.7 * whole.gflops()


def test_a_controlnet_that_ends_early_is_switched_off_in_time(cases):
    """Its scale falls to zero in the middle of a span: computed again, and what was decoded ahead is dropped."""
    pipe = cases("controlnet").pipe
    _, ledger = both(pipe, "controlnet", control_guidance_end=0.7)
    assert ledger.passes("", "controlnet") == 3
    assert ledger.key_steps == (0, 3)


def test_guess_mode(cases):
    pipe = cases("controlnet").pipe
    _, ledger = both(pipe, "controlnet", guess_mode=True)
    assert ledger.rows("", "controlnet") == 2


def test_the_decoder_part_leaves_the_controlnet_alone(cases):
    _, ledger = propagated(cases("controlnet").pipe, "controlnet", part="decoder")
    assert ledger.passes("", network="controlnet") == len(ledger.steps)
    assert not any(entry.key for entry in ledger.entries if entry.network == "controlnet")


# --- runs that start late, stop early or are too short ----------------------------------------------------------------


def test_steps_that_the_base_leaves_to_the_refiner_are_not_decoded(cases):
    pipe = cases("sdxl").pipe
    _, ledger = both(pipe, "sdxl", num_inference_steps=10, denoising_end=0.5)
    assert ledger.steps == tuple(range(5))
    assert ledger.rows("") == 2 * 5


def test_the_refiner_starts_where_the_base_stops(cases):
    _, ledger = cases("sdxl-refiner").propagated()
    assert ledger.steps[0] == ledger.key_steps[0] > 0


def test_few_steps_of_a_consistency_model_are_told_to_save_nothing(cases):
    case = cases("lcm")
    with fdplug.propagate(case.pipe), pytest.warns(NoEffectWarning, match="made all 2 steps key steps"):
        case.run(num_inference_steps=2)


def test_text2video_zero_goes_back_and_is_decoded_one_by_one(cases):
    """Frames look at the first one, so a batch is not a set of independent rows; its last loop goes back two steps."""
    _, ledger = cases("text2video-zero").propagated(decoding="auto")
    assert ledger.passes("") == 12
    assert ledger.rows("") == 6 * 2 + 6 * 6


def test_text2video_zero_cannot_be_decoded_in_parallel(cases):
    case = cases("text2video-zero")
    with (
        fdplug.propagate(case.pipe, policy=UNIFORM, decoding="parallel"),
        pytest.raises(PropagationError, match="rows of a batch see each other"),
    ):
        case.run()


def test_free_init_passes_over_the_schedule_again():
    """AnimateDiff's FreeInit runs the whole schedule several times."""
    pipe = SYSTEMS["animatediff"].make()
    pipe.enable_free_init(num_iters=2, use_fast_sampling=False)
    _, ledger = both(pipe, "animatediff")
    assert ledger.passes("conv_in") == 2  # of its last pass


# --- parts and families -----------------------------------------------------------------------------------------------


def test_the_number_of_leading_blocks_is_an_option(cases):
    case = cases("dit")
    _, ledger = case.propagated(part={"encoder": {"blocks": 1}})
    assert ledger.parts["transformer"] == ("pos_embed", "transformer_blocks.0")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"encoder": {"blocks": 5}}, "blocks must be less than this transformer's depth of 5"),
        ({"encoder": {"blocks": 0}}, "blocks must be a whole number of at least 1"),
        ({"encoder": {"blcks": 2}}, "no option 'blcks'.*blocks"),
    ],
)
def test_wrong_part_options_are_refused(cases, part, message):
    with pytest.raises(ConfigError, match=message):
        fdplug.propagate(cases("dit").pipe, part=part)


@pytest.mark.parametrize(("depth", "leading"), [(28, 18), (57, 36), (24, 15), (2, 1)])
def test_the_paper_s_share_of_blocks(depth, leading):
    from fdplug.denoisers.transformer import transformer_parts

    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList(torch.nn.Identity() for _ in range(depth))
    part, _ = transformer_parts(model, ("blocks",), stem=())
    assert len(part.modules) == leading
    assert part.chained == frozenset(part.modules[:-1])


def test_only_the_last_leading_block_is_kept(cases):
    """Memory: the features of one block, not of all."""
    case = cases("dit")
    kept = []
    with fdplug.propagate(case.pipe, policy=UNIFORM) as on:
        read = on.method.cache.read
        on.method.cache.read = lambda name, steps: kept.append(name) or read(name, steps)
        case.run()
    assert set(kept) == {"transformer_blocks.2"}


def test_a_class_named_like_a_supported_one_is_not_taken_for_it(cases):
    pipe = copy.deepcopy(cases("dit").pipe)

    class DiTTransformer2DModel(torch.nn.Linear):
        pass

    pipe.register_modules(transformer=DiTTransformer2DModel(2, 2))
    message = "cannot accelerate denoiser DiTTransformer2DModel; supported are .*register a denoiser family"
    with pytest.raises(UnsupportedDenoiserError, match=message):
        fdplug.propagate(pipe)


def test_pipelines_of_two_classes_on_one_denoiser_are_refused(cases):
    from diffusers import StableDiffusionImg2ImgPipeline

    pipe = cases("sd").pipe
    other = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    with fdplug.propagate(pipe), pytest.raises(PipelineError, match="already propagated by another"):
        fdplug.propagate(other)


def test_two_pipelines_of_one_class_run_side_by_side():
    one, other = SYSTEMS["controlnet"].make(), SYSTEMS["controlnet"].make()
    expected, _ = propagated(one, "controlnet")
    plain = run(other, "controlnet")
    with fdplug.propagate(one, policy=UNIFORM):
        assert torch.equal(run(other, "controlnet"), plain)
        with fdplug.propagate(other, policy=UNIFORM):
            assert close(run(one, "controlnet"), expected)
            assert close(run(other, "controlnet"), expected)


@pytest.mark.parametrize("name", ["controlnet", "controlnet-several"])
def test_a_controlnet_that_the_part_does_not_replay_runs_and_counts_at_every_step(name):
    """Where every step is a key step nothing is replayed, so both parts must cost the same, and change nothing."""
    pipe = SYSTEMS[name].make()
    plain = run(pipe, name)
    costs = {}
    for part in ("encoder", "decoder"):
        images, ledger = propagated(pipe, name, part=part, policy="all", injector="none")
        assert torch.equal(images, plain)
        costs[part] = ledger.gflops()
        assert ledger.passes("", network="controlnet") == len(ledger.steps)
    assert costs["decoder"] == pytest.approx(costs["encoder"])
    _, ledger = propagated(pipe, name, part="decoder")
    assert len(ledger.key_steps) < len(ledger.steps) == ledger.passes("", network="controlnet")


def test_every_family_says_its_encoder():
    for entry in registry.entries("family").values():
        assert "the encoder is" in entry.cls.__doc__
        assert "paper" in entry.cls.__doc__
