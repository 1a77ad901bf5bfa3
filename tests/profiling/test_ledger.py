"""The ledger says what ran; its GFLOPs are those counted over the whole accelerated call."""

from __future__ import annotations

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusion, StableDiffusionPAGPipeline
from diffusers.models.upsampling import Upsample2D
from fvcore.nn import FlopCountAnalysis
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import fdplug
from fdplug import trees
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError, PropagationError
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.profiling.flops import module_flops
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS
from fdplug.transforms import Transform

POLICIES = ["all", "paper", {"uniform": {"interval": 4}}, {"explicit": {"steps": [0, 2]}}]
KEYS = [12, 5, 3, 2]  # of 12 steps; the paper's for 20 (0, 1, 2, 3, 5, 10, 15) move to 0, 0, 1, 1, 3, 6, 9
ENCODER = ["conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2", "down_blocks.3", "mid_block"]


STEPS = 5


class WholeCall(torch.nn.Module):
    """A pipeline call as a module, for fvcore to trace: only the denoiser is a child, so only it is named."""

    def __init__(self, pipe):
        super().__init__()
        self.unet = pipe.unet
        pipe.text_encoder.requires_grad_(False)  # the trace takes its weights for constants
        self.run = lambda start: latents(pipe, latents=start, num_inference_steps=STEPS)

    def forward(self, start):
        return self.run(start)


def _sdpa(share):
    """Multiply-adds of attention by hand: rows x keys x (width of queries + width of values)."""

    def count(inputs, outputs):
        query, key, value = (one.type().sizes() for one in inputs[:3])
        rows = query[0] * query[1] * query[2]
        return rows * key[2] * (value[3] + (query[3] if share == "full" else 0))

    return count


def traced(pipe, convention):
    """FLOPs that fvcore counts inside the denoiser over one whole call."""
    analysis = FlopCountAnalysis(WholeCall(pipe), (torch.ones(1, 4, 8, 8),))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _sdpa(convention))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return analysis.by_module()["unet"]


@pytest.mark.parametrize(("policy", "keys"), list(zip(POLICIES, KEYS, strict=True)), ids=str)
@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_the_encoder_runs_as_often_as_the_policy_says(pipe, policy, keys, decoding):
    with fdplug.propagate(pipe, policy=policy, decoding=decoding) as on:
        latents(pipe, num_inference_steps=12)
    assert [on.ledger.passes(name) for name in ENCODER] == [keys] * 6
    assert len(on.ledger.key_steps) == keys
    assert on.ledger.num_steps == 12
    assert on.ledger.rows("conv_in") == 2 * keys
    assert on.ledger.rows("") == 2 * 12
    assert on.ledger.steps == tuple(range(12))


@pytest.mark.parametrize(
    ("policy", "decoding", "convention"),
    [
        pytest.param("all", "serial", "full", marks=pytest.mark.slow),
        pytest.param({"uniform": {"interval": 2}}, "serial", "full", marks=pytest.mark.slow),
        ({"uniform": {"interval": 2}}, "parallel", "full"),
        ({"explicit": {"steps": [0, 1]}}, "parallel", "paper"),
    ],
    ids=str,
)
def test_gflops_equal_fvcore_over_the_whole_call(pipe, policy, decoding, convention):
    with fdplug.propagate(pipe, policy=policy, decoding=decoding) as on:
        latents(pipe, num_inference_steps=STEPS)
        assert on.ledger.gflops(convention) * 1e9 == pytest.approx(traced(pipe, convention), abs=0.5)


def _light(module):
    """Whether fvcore counts this module by output elements, and torch not at all."""
    return isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm | Upsample2D)


class ElementCounter:
    """Counts what fvcore, but not torch, counts: norms and nearest upsampling, as they run."""

    def __init__(self, unet):
        self.flops = 0
        self.hooks = [one.register_forward_hook(self._count) for one in unet.modules() if _light(one)]

    def _count(self, module, args, output):
        size = args[0].numel()
        if isinstance(module, Upsample2D):
            self.flops += 4 * size
        else:
            unit = torch.nn.GroupNorm(1, 4) if isinstance(module, torch.nn.GroupNorm) else torch.nn.LayerNorm(4)
            self.flops += size * FlopCountAnalysis(unit, torch.ones(2, 4)).total() // 8


@pytest.mark.parametrize(
    "part", ["encoder", *(pytest.param(one, marks=pytest.mark.slow) for one in ("decoder", "encoder+decoder"))]
)
@pytest.mark.parametrize("policy", [pytest.param("all", marks=pytest.mark.slow), {"uniform": {"interval": 4}}], ids=str)
def test_gflops_are_half_of_what_torch_counts_and_the_light_operations(pipe, part, policy):
    """Torch counts a multiply-add twice and no norms; CPU attention it misses, so the math kernel is asked for."""
    light = ElementCounter(pipe.unet)
    with fdplug.propagate(pipe, policy=policy, part=part) as on:
        text = pipe.encode_prompt("red", "cpu", 1, False)[0]
        with (
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            latents(pipe, None, prompt_embeds=text, guidance_scale=1.0)
        total = counter.get_total_flops()
        for hook in light.hooks:
            hook.remove()
        assert on.ledger.gflops() * 1e9 == pytest.approx(total / 2 + light.flops, abs=0.5)


def test_gflops_are_linear_in_the_batch(pipe):
    def count(**arguments):
        with fdplug.propagate(pipe, policy={"uniform": {"interval": 4}}) as on:
            latents(pipe, **arguments)
        return on.ledger.gflops()

    assert count(prompt=["red", "blue"]) == pytest.approx(2 * count(prompt="red"))
    assert count(guidance_scale=1.0) == pytest.approx(count() / 2)
    assert count(num_images_per_prompt=3) == pytest.approx(3 * count())


def test_measuring_in_the_middle_of_a_run_disturbs_nothing():
    def run(callback):
        pipe = tiny_pipeline()
        with fdplug.propagate(pipe, policy={"uniform": {"interval": 4}}) as on:
            return latents(pipe, callback_on_step_end=lambda *given: callback(on) or {})

    measured = run(lambda on: on.ledger.gflops() > 0 and None)
    assert torch.equal(measured, run(lambda on: None))


def test_an_empty_ledger_says_so(pipe):
    with fdplug.propagate(pipe) as on, pytest.raises(PropagationError, match="run the pipeline first"):
        on.ledger.gflops()


def test_an_unknown_convention_is_refused(pipe):
    with fdplug.propagate(pipe) as on:
        latents(pipe)
        with pytest.raises(ConfigError, match="convention must be one of full, paper; got 'half'"):
            on.ledger.gflops("half")


def test_the_ledger_holds_the_last_run_only(pipe):
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 4}}) as on:
        latents(pipe, num_inference_steps=12)
        latents(pipe, num_inference_steps=8)
        assert on.ledger.key_steps == (0, 4)


class Skipped(torch.nn.Module):
    """Stands for an attention block and does nothing."""

    def forward(self, hidden, **_):
        return (hidden,)


class WithoutMiddleAttention(Transform):
    """Takes the attention of the middle block out."""

    name = "without-middle-attention"

    def apply(self, pipe):
        self.block, pipe.unet.mid_block.attentions[0] = pipe.unet.mid_block.attentions[0], Skipped()

    def undo(self, pipe):
        pipe.unet.mid_block.attentions[0] = self.block


def test_what_a_transform_saves_is_counted_while_it_is_in_place(pipe):
    with fdplug.propagate(pipe, policy="all", injector="none") as on:
        latents(pipe, num_inference_steps=3)
        plain = on.ledger.gflops()
        shapes = on.ledger.examples["unet"].arguments
        arguments = trees.map_tensors(lambda one: torch.ones(one.shape, dtype=one.dtype), shapes)
    attention = module_flops(pipe.unet, arguments)["mid_block.attentions.0"]
    assert attention > 0
    assert on.ledger.gflops() == plain, "nothing was transformed, so it can be asked later"
    with fdplug.propagate(pipe, policy="all", injector="none", transforms=[WithoutMiddleAttention()]) as on:
        latents(pipe, num_inference_steps=3)
        assert on.ledger.gflops() == pytest.approx(plain - 3 * 2 * attention / 1e9)
    on.remove()
    with pytest.raises(PropagationError, match="without-middle-attention is no more in place: ask for them inside"):
        on.ledger.gflops()


def test_a_run_counts_what_its_transforms_save(pipe):
    generation, captions = GenerationConfig(steps=2, guidance=2.0), [Caption(1, "a red circle")]
    settings = PropagationConfig.unaccelerated()
    plain = run(pipe, captions, generation, settings, count=True)
    assert plain.gflops() == run(pipe, captions, generation, settings).gflops()
    less = run(pipe, captions, generation, settings.changed(transforms=[WithoutMiddleAttention()]), count=True)
    assert less.gflops() < plain.gflops()
    assert less.gflops("paper") < plain.gflops("paper")


def _count(pipe):
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 3}}) as on:
        latents(pipe)
        return on.ledger.gflops()


@pytest.mark.slow
def test_a_lora_that_was_loaded_later_costs_what_it_costs_from_the_beginning(pipe):
    peft = pytest.importorskip("peft", reason="diffusers loads LoRA through peft")

    def load(pipe):
        pipe.unet.add_adapter(peft.LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v"]), adapter_name="a")

    plain = _count(pipe)
    fresh = tiny_pipeline()
    load(fresh)
    load(pipe)
    assert _count(pipe) == pytest.approx(_count(fresh), rel=1e-9)
    assert _count(pipe) > plain
    pipe.unet.disable_adapters()
    assert _count(pipe) == pytest.approx(plain, rel=1e-9)


def test_a_network_that_was_changed_after_its_run_is_not_priced_as_it_is_now(pipe):
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 3}}) as on:
        latents(pipe)
        pipe.unet.mid_block.attentions[0] = Skipped()
        with pytest.raises(PropagationError, match="the unet was changed since this run began"):
            on.ledger.gflops()


def test_a_pass_that_skips_layers_is_priced_without_them():
    """By hand: every pass of the third call of a step costs one pass less the blocks that it skips."""
    system = SYSTEMS["sd3"]
    pipe = system.make()
    arguments = {"num_inference_steps": 4, "guidance_scale": 5.0}
    skipping = {"skip_guidance_layers": [1], "skip_layer_guidance_start": 0.0, "skip_layer_guidance_stop": 1.0}
    with fdplug.propagate(pipe, policy="all", injector="none") as on:
        system.run(pipe, **arguments)
        plain = on.ledger.gflops()
        system.run(pipe, **arguments, **skipping)
        rows = on.ledger.rows("") - 4 * 2
        shapes = on.ledger.examples["transformer"].arguments
        costs = module_flops(
            pipe.transformer, trees.map_tensors(lambda one: torch.ones(one.shape, dtype=one.dtype), shapes)
        )
        assert rows > 0
        extra = rows * (costs[""] - costs["transformer_blocks.1"]) / 1e9
        assert on.ledger.gflops() == pytest.approx(plain + extra, rel=1e-9)


def test_what_is_not_counted_is_said(pipe):
    """Calls outside of a run, as those of an inversion."""
    with torch.no_grad(), fdplug.propagate(pipe, policy="all", injector="none") as on:
        for _ in range(3):
            pipe.unet(torch.ones(1, 4, 8, 8), 5, torch.ones(1, 16, 16))
        latents(pipe, num_inference_steps=2)
        assert on.ledger.uncounted == ("3 calls of the unet outside of a run, since the one before",)
        latents(pipe, num_inference_steps=2)
        assert on.ledger.uncounted == ()


def test_what_another_method_of_the_pipeline_ran_for_the_image_is_said():
    """LEdits++ inverts a picture before it is edited: the page is about the editing, and says what is on another."""
    parts = {name: one for name, one in tiny_pipeline().components.items() if name != "image_encoder"}
    parts["scheduler"] = DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", steps_offset=1)
    pipe = LEditsPPPipelineStableDiffusion(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 3}}, injector="none", decoding="serial") as on:
        pipe.invert(image=Image.new("RGB", (32, 32), "teal"), num_inversion_steps=8)
        inverted = on.ledger.passes("")
        assert on.ledger.uncounted == ()
        for said in ((f"{inverted} calls of the unet in invert(), a run of its own",), ()):
            pipe(editing_prompt=["a"], output_type="latent", use_intersect_mask=False)
            assert on.ledger.uncounted == said


@pytest.mark.parametrize(("layer", "decoding"), [("mid", "serial"), ("down", "auto"), ("up", "serial")])
def test_perturbed_rows_are_priced_wherever_they_are(layer, decoding):
    """Inside the part or outside of it, processors want a batch of three thirds: fvcore's count of one such pass."""
    parts = tiny_pipeline().components
    pipe = StableDiffusionPAGPipeline(**parts, requires_safety_checker=False, pag_applied_layers=[layer])
    pipe.set_progress_bar_config(disable=True)
    usual = pipe.unet.attn_processors
    with fdplug.propagate(pipe, policy="all", injector="none", decoding=decoding) as on:
        pipe("a red circle", num_inference_steps=3, output_type="latent", height=16, width=16, pag_scale=3.0)
        counted = on.ledger.gflops()
    pipe._set_pag_attn_processor(pag_applied_layers=pipe.pag_applied_layers, do_classifier_free_guidance=True)
    sample, text = torch.ones(3, 4, 8, 8), torch.ones(3, pipe.tokenizer.model_max_length, 16)
    cost = module_flops(pipe.unet, {"sample": sample, "timestep": torch.tensor(1), "encoder_hidden_states": text})
    pipe.unet.set_attn_processor(usual)
    assert counted == pytest.approx(3 * cost[""] / 1e9, rel=1e-6)


def test_weights_of_another_type_are_not_run_to_be_counted(pipe):
    with fdplug.propagate(pipe) as on:
        latents(pipe, num_inference_steps=9)
        pipe.unet.to(torch.float64)
        with pytest.raises(PropagationError, match="the type of its weights"):
            on.ledger.gflops()


def test_a_pass_that_cannot_be_made_again_is_a_clear_error(pipe):
    with fdplug.propagate(pipe) as on:
        latents(pipe, num_inference_steps=9)
        hook = pipe.unet.conv_out.register_forward_pre_hook(lambda module, given: given[0].no_such_thing)
        with pytest.raises(PropagationError, match=r"a pass of the unet cannot be made again.*no_such_thing"):
            on.ledger.gflops()
        hook.remove()


def test_processors_that_a_pipeline_takes_out_after_its_run_are_priced():
    """Perturbed-attention guidance: asked after the run, the price is that asked in its last step."""
    parts = tiny_pipeline().components
    pipe = StableDiffusionPAGPipeline(**parts, requires_safety_checker=False, pag_applied_layers=["up"])
    pipe.set_progress_bar_config(disable=True)
    during = []
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 2}}) as on:

        def ask(pipe, step, time, tensors):
            during.append(on.ledger.gflops())
            return {}

        pipe("a", num_inference_steps=4, pag_scale=3.0, output_type="latent", callback_on_step_end=ask)
        assert on.ledger.gflops() == during[-1] > 0
