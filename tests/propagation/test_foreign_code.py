"""What others put into a denoiser: it is decoded step by step, or refused where it keeps features itself."""

from __future__ import annotations

import copy
import functools
import sys
from operator import attrgetter
from types import FunctionType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fdplug
from fdplug.errors import ConfigError, PropagationError
from fdplug.lookup import find_family
from fdplug.patching import PatchStack, call_patches
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

UNIFORM = {"uniform": {"interval": 3}}
ALONE = {"policy": "all", "injector": "none"}


def _method(pipe):
    """A helper of an attention, not its forward, that mixes the maps of all rows."""
    from diffusers.models.attention_processor import AttnProcessor

    pipe.unet.set_attn_processor(AttnProcessor())
    attention = pipe.unet.up_blocks[1].attentions[0].transformer_blocks[0].attn1
    inner = attention.get_attention_scores
    attention.get_attention_scores = lambda *given: (inner(*given) + inner(*given).mean(0, keepdim=True)) / 2


def _batch_norm(pipe):
    """A layer whose statistics are those of the batch."""
    channels = pipe.unet.conv_norm_out.num_channels
    pipe.unet.conv_norm_out = nn.BatchNorm2d(channels, track_running_stats=False)


def _activation(pipe):
    """A function in place of a module."""
    del pipe.unet.up_blocks[0].resnets[0].nonlinearity
    pipe.unet.up_blocks[0].resnets[0].nonlinearity = lambda given: given - given.mean(0, keepdim=True)


def _dropout(pipe):
    """A layer that draws random numbers, in the order of the steps."""
    pipe.unet.up_blocks[0].resnets[0].dropout = nn.Dropout(0.5).train()


def _observer(pipe):
    """Ranges of the whole batch, which move at every pass."""
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

    ranges = FakeQuantize(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255)
    pipe.unet.conv_norm_out = nn.Sequential(pipe.unet.conv_norm_out, ranges)


def _spectral(pipe):
    """A norm that is estimated better at every pass: the form that is a hook."""
    nn.utils.spectral_norm(pipe.unet.up_blocks[0].resnets[0].conv1).train()


def _spectral_parametrized(pipe):
    nn.utils.parametrizations.spectral_norm(pipe.unet.up_blocks[0].resnets[0].conv1).train()


class MixingNorm(nn.GroupNorm):
    def forward(self, given):
        return super().forward(given) - given.mean(0, keepdim=True)


def _class(pipe):
    """Another class of the same module."""
    pipe.unet.conv_norm_out.__class__ = MixingNorm


MIXING = {
    _class: "tests.propagation.test_foreign_code.MixingNorm at conv_norm_out",
    _method: "get_attention_scores of up_blocks.1.attentions.0.transformer_blocks.0.attn1, from tests.propagation",
    _batch_norm: "the batch statistics of conv_norm_out",
    _dropout: "the random numbers of up_blocks.0.resnets.0.dropout, which is in training",
    _observer: "torch.ao.quantization.fake_quantize.FakeQuantize at conv_norm_out.1",
    _spectral: "what up_blocks.0.resnets.0.conv1 learns at every pass, as it is in training",
    _spectral_parametrized: "what up_blocks.0.resnets.0.conv1.parametrizations.weight.0 learns at every pass",
    _activation: "the nonlinearity of up_blocks.0.resnets.0, from tests.propagation",
}


@pytest.mark.parametrize("mix", MIXING)
def test_rows_that_see_each_other_by_other_ways_than_forward_are_decoded_serially(pipe, mix):
    other = copy.deepcopy(pipe)  # what learns is another network after a run
    for one in (other, pipe):
        torch.manual_seed(0)
        mix(one)
    with fdplug.propagate(other, policy=UNIFORM, decoding="serial"):
        torch.manual_seed(0)
        serial = latents(other, num_inference_steps=6)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        torch.manual_seed(0)
        assert torch.equal(latents(pipe, num_inference_steps=6), serial)
    assert MIXING[mix] in on.ledger.one_by_one


@pytest.mark.parametrize("mix", MIXING)
def test_what_is_put_in_between_two_runs_is_seen(pipe, mix):
    other = copy.deepcopy(pipe)
    torch.manual_seed(0)
    mix(other)
    with fdplug.propagate(other, policy=UNIFORM, decoding="serial"):
        torch.manual_seed(0)
        serial = latents(other, num_inference_steps=6)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        for _ in range(2):
            latents(pipe, num_inference_steps=6)
            assert on.ledger.one_by_one is None
        torch.manual_seed(0)
        mix(pipe)
        torch.manual_seed(0)
        assert torch.equal(latents(pipe, num_inference_steps=6), serial)
        assert MIXING[mix] in on.ledger.one_by_one


def test_what_is_taken_out_between_two_runs_is_seen(pipe):
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        _class(pipe)
        latents(pipe, num_inference_steps=6)
        assert on.ledger.one_by_one
        pipe.unet.conv_norm_out.__class__ = nn.GroupNorm
        latents(pipe, num_inference_steps=6)
        assert on.ledger.one_by_one is None


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
def test_another_cache_on_the_same_denoiser_is_refused_and_left_working():
    from diffusers import FirstBlockCacheConfig

    system = SYSTEMS["flux"]
    pipe = system.make()
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.5))
    own = system.run(pipe)
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"another cache is switched on \(diffusers' FBC.*disable_cache\(\)"),
    ):
        system.run(pipe)
    assert torch.equal(system.run(pipe), own)
    with fdplug.propagate(pipe, policy="all", injector="none"):
        assert torch.equal(system.run(pipe), own)
    pipe.transformer.disable_cache()
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        system.run(pipe)
        assert on.ledger.key_steps == (0, 3)


def test_a_cache_that_wraps_forward_is_refused(pipe):
    inner = pipe.unet.up_blocks[0].forward
    code = {"__name__": "DeepCache.extension", "inner": inner}
    exec("def wrapped(*args, **kwargs): return inner(*args, **kwargs)", code)
    pipe.unet.up_blocks[0].forward = code["wrapped"]
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"another cache is switched on \(DeepCache, at up_blocks.0"),
    ):
        latents(pipe)


@fdplug.row_wise
class _Renamed:
    """A forward that hands on whatever it is given."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


def test_a_subclass_that_hands_on_its_arguments_is_what_it_hands_them_to(pipe):
    with fdplug.propagate(pipe, policy=UNIFORM):
        expected = latents(pipe, num_inference_steps=6)
    stock = type(pipe.unet)
    pipe.unet.__class__ = fdplug.row_wise(type(stock.__name__, (_Renamed, stock), {}))
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        assert torch.equal(latents(pipe, num_inference_steps=6), expected)
    assert on.ledger.key_steps == (0, 3)


class _Reading:
    """A forward that adds some of the sample, which no replayed step would see if it were decoded ahead."""

    def forward(self, sample, timestep, encoder_hidden_states, **more):
        return (super().forward(sample, timestep, encoder_hidden_states, **more)[0] + 0.3 * sample,)


class _Centred:
    """A forward that lets rows see each other."""

    def forward(self, sample, timestep, encoder_hidden_states, **more):
        found = super().forward(sample, timestep, encoder_hidden_states, **more)[0]
        return (found - 0.5 * found.mean(0, keepdim=True),)


class _Helping:
    """Not the forward but what it calls."""

    def get_time_embed(self, sample, timestep):
        return super().get_time_embed(sample, timestep) + 0.1 * sample.mean()


@pytest.mark.parametrize("mixin", [_Reading, _Centred, _Helping])
def test_a_class_that_others_derive_from_the_denoisers_is_decoded_one_by_one(pipe, mixin):
    stock = type(pipe.unet)
    pipe.unet.__class__ = type("Derived", (mixin, stock), {})
    with fdplug.propagate(pipe, policy=UNIFORM, decoding="serial"):
        serial = latents(pipe, num_inference_steps=6)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        assert torch.equal(latents(pipe, num_inference_steps=6), serial)
    assert "Derived, derived from UNet2DConditionModel" in on.ledger.one_by_one
    with (
        fdplug.propagate(pipe, **ALONE, guidance={"first": {"share": 0.5}}),
        pytest.raises(PropagationError, match="Derived, derived from UNet2DConditionModel: take guidance='full', or"),
    ):
        latents(pipe)


def test_a_class_whose_arguments_have_no_names_is_refused(pipe, monkeypatch):
    """What is put in place of a class's forward without its names leaves nobody who knows them."""
    inner = type(pipe.unet).forward
    monkeypatch.setattr(type(pipe.unet), "forward", lambda self, *args, **kwargs: inner(self, *args, **kwargs))
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"forward\(self, \*args, \*\*kwargs\) does not name 'sample'"),
    ):
        latents(pipe, num_inference_steps=6)


def test_what_torch_jit_has_made_is_refused(pipe):
    inner = pipe.unet.conv_out
    pipe.unet.conv_out = torch.jit.trace(inner, torch.zeros(2, inner.in_channels, 8, 8))
    with (
        fdplug.propagate(pipe, policy=UNIFORM),
        pytest.raises(PropagationError, match=r"conv_out was made by torch\.jit"),
    ):
        latents(pipe)
    pipe.unet.conv_out = inner
    with fdplug.propagate(pipe, policy=UNIFORM):
        latents(pipe)


# --- what its author declares ----------------------------------------------------------------------------------------


def _twice(given):
    return given * 2.0


def doubled(module, args, output):
    """Change every row by itself."""
    return _twice(output)


class DoublingNorm(nn.GroupNorm):
    def forward(self, given):
        return _twice(super().forward(given))


class Looking:
    """A hook that is an object."""

    def __call__(self, module, args, output):
        self.seen = output[0].shape


def _own_processor():
    from diffusers.models.attention_processor import AttnProcessor2_0

    class Halving(AttnProcessor2_0):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs) / 2

    return Halving


def _declared_hook(pipe, declare):
    hook = FunctionType(doubled.__code__, globals())
    pipe.unet.up_blocks[0].resnets[0].register_forward_hook(declare(hook))


def _declared_object(pipe, declare):
    pipe.unet.register_forward_hook(declare(type("Declared", (Looking,), {"__module__": __name__}))())


def _declared_module(pipe, declare):
    kind = type("Norm", (DoublingNorm,), {"__module__": __name__, "forward": DoublingNorm.forward})
    pipe.unet.conv_norm_out.__class__ = declare(kind)


def _declared_processor(pipe, declare):
    pipe.unet.set_attn_processor(declare(_own_processor())())


DECLARED = [_declared_hook, _declared_object, _declared_module, _declared_processor]


@pytest.mark.parametrize("put", DECLARED)
def test_what_is_declared_row_wise_is_taken_at_its_word(pipe, put):
    """Declared it is decoded in one batch, to the same images as one by one; undeclared it is decoded one by one."""
    other = copy.deepcopy(pipe)
    put(other, lambda thing: thing)
    with fdplug.propagate(other, policy=UNIFORM) as on:
        serial = latents(other, num_inference_steps=6)
        assert on.ledger.one_by_one
    put(pipe, fdplug.row_wise)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        parallel = latents(pipe, num_inference_steps=6)
        assert on.ledger.one_by_one is None
    assert torch.allclose(parallel, serial, atol=1e-4)


@pytest.mark.parametrize("put", DECLARED)
def test_rows_of_guidance_are_left_out_beside_what_is_declared(pipe, put):
    settings = {**ALONE, "guidance": {"first": {"share": 0.5}}}
    put(pipe, fdplug.row_wise)
    with fdplug.propagate(pipe, **settings) as on:
        latents(pipe, num_inference_steps=6)
    assert on.ledger.rows("") == 2 * 3 + 3


def test_a_refusal_says_that_it_can_be_declared(pipe):
    pipe.unet.register_forward_hook(lambda module, args, output: None)
    with (
        fdplug.propagate(pipe, **ALONE, guidance={"first": {"share": 0.5}}),
        pytest.raises(PropagationError, match=r"or declare it by fdplug\.row_wise if it treats every row by itself"),
    ):
        latents(pipe)


def test_a_declaration_is_not_handed_on(pipe):
    """Not to a function that is wrapped around the declared one."""
    hook = fdplug.row_wise(FunctionType(doubled.__code__, globals()))

    @functools.wraps(hook)
    def around(module, args, output):
        return hook(module, args, output) + output.mean(0, keepdim=True)

    pipe.unet.up_blocks[0].resnets[0].register_forward_hook(around)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        latents(pipe, num_inference_steps=6)
        assert "the hook of up_blocks.0.resnets.0" in on.ledger.one_by_one


def test_a_declared_class_does_not_speak_for_those_derived_from_it(pipe):
    declared = fdplug.row_wise(type("Norm", (DoublingNorm,), {"__module__": __name__}))
    pipe.unet.conv_norm_out.__class__ = type("Derived", (declared,), {"__module__": __name__})
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        latents(pipe, num_inference_steps=6)
        assert "Derived at conv_norm_out" in on.ledger.one_by_one


KIND = attrgetter("__class__.__name__")


@pytest.mark.parametrize("thing", [Looking(), 3, "a hook", int, nn.Linear(2, 2), Looking().__call__, len], ids=KIND)
def test_only_functions_and_classes_are_declared(thing):
    with pytest.raises(ConfigError, match="row_wise declares a function or a class"):
        fdplug.row_wise(thing)


# --- rows of guidance that are left out ------------------------------------------------------------------------------

LEFT_OUT = [{"interval": {"low": 0.3, "high": 0.7}}, {"first": {"share": 0.5}}, {"cached": {"every": 2}}, "adaptive"]


def _mixed(module, args, output):
    """Let a row see the others."""
    return output + 0.2 * output.mean(0, keepdim=True) * len(output)


def _hooked_after(pipe):
    pipe.unet.up_blocks[0].resnets[0].register_forward_hook(_mixed)


def _hooked_in_the_part(pipe):
    pipe.unet.down_blocks[0].resnets[0].register_forward_hook(_mixed)


def _hooked_outermost(pipe):
    pipe.unet.register_forward_pre_hook(lambda module, args: (_mixed(module, args, args[0]), *args[1:]))


def _forward_wrapped(pipe):
    block = pipe.unet.mid_block.resnets[0]
    forward = block.forward
    block.forward = lambda *args, **kwargs: _mixed(block, args, forward(*args, **kwargs))


COUPLING = {
    _hooked_after: "the hook of up_blocks.0.resnets.0, from tests",
    _hooked_in_the_part: "the hook of down_blocks.0.resnets.0, from tests",
    _hooked_outermost: "the hook of UNet2DConditionModel, from tests",
    _forward_wrapped: "the forward of mid_block.resnets.0, from tests",
    _batch_norm: MIXING[_batch_norm],
}


def coupling(couple, pipe, after):
    """Let rows see each other at once, or after a step: by what is returned, a callback of the pipeline."""

    def change(pipe, step, timestep, given):
        if step == after:
            couple(pipe)
        return {}

    if after is None:
        couple(pipe)
    return change


@pytest.mark.parametrize("guidance", LEFT_OUT, ids=str)
@pytest.mark.parametrize("couple", COUPLING)
@pytest.mark.parametrize("after", [None, 1], ids=["before", "in the middle"])
def test_rows_are_not_left_out_where_those_that_run_may_see_them(pipe, couple, after, guidance):
    change = coupling(couple, pipe, after)
    with (
        fdplug.propagate(pipe, **ALONE, guidance=guidance),
        pytest.raises(PropagationError, match="leaves rows out of a batch whose rows see each other") as raised,
    ):
        latents(pipe, callback_on_step_end=change)
    assert COUPLING[couple] in str(raised.value)


def test_for_modules_of_the_denoisers_own_package_its_family_speaks(pipe, monkeypatch):
    """A model of one's own, whose blocks are of one's own, too; and a family that names it."""
    with fdplug.propagate(pipe, **ALONE, guidance="first"):
        expected = latents(pipe)
    pipe.unet.__class__ = own = type("Own", (type(pipe.unet),), {"__module__": "mine.unet"})
    monkeypatch.setitem(sys.modules, "mine.unet", SimpleNamespace(Own=own))
    monkeypatch.setattr(type(find_family(pipe)[0]), "models", ("mine.unet.Own",))
    block = pipe.unet.up_blocks[0].resnets[0]
    block.__class__ = type("Block", (type(block),), {"__module__": "mine.blocks"})
    with fdplug.propagate(pipe, **ALONE, guidance="first"):
        assert torch.equal(latents(pipe), expected)
    block.__class__ = type("Block", (type(block),), {"__module__": "theirs"})
    with fdplug.propagate(pipe, **ALONE, guidance="first"), pytest.raises(PropagationError, match=r"theirs\.Block"):
        latents(pipe)


@pytest.fixture
def everywhere():
    """A function that lets rows see each other in every residual block, by a hook of torch's own."""
    handles = []

    def mixed(module, args, output):
        return _mixed(module, args, output) if type(module).__name__ == "ResnetBlock2D" else None

    yield lambda pipe: handles.append(nn.modules.module.register_module_forward_hook(mixed))
    for handle in handles:
        handle.remove()


def test_counters_of_torch_that_come_and_go_around_every_call_change_nothing(pipe):
    def counted(original, *given, **named):
        with FlopCounterMode(display=False):
            return original(*given, **named)

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none") as on:
        expected = latents(pipe, num_inference_steps=6)
        around = PatchStack()
        around.apply(call_patches(pipe.unet, counted))
        assert torch.equal(latents(pipe, num_inference_steps=6), expected)
        around.remove()
    assert on.ledger.one_by_one is None


@pytest.mark.filterwarnings("ignore:the denoiser changed within a span")
@pytest.mark.parametrize("after", [None, 1, 2], ids=["before", "within a span", "between spans"])
def test_a_hook_around_every_module_may_let_rows_see_each_other(everywhere, after):
    def made(**settings):
        pipe = tiny_pipeline()
        change = coupling(everywhere, pipe, after)
        with fdplug.propagate(pipe, **{"policy": UNIFORM, "injector": "none", **settings}) as on:
            return latents(pipe, num_inference_steps=6, callback_on_step_end=change), on.ledger

    serial, _ = made(decoding="serial")
    nn.modules.module._global_forward_hooks.clear()
    parallel, ledger = made()
    assert float((parallel - serial).abs().max()) <= 1e-4 * float(serial.abs().max())
    if after != 1:
        assert "a hook that torch runs around every module, from tests.propagation" in ledger.one_by_one
    nn.modules.module._global_forward_hooks.clear()
    with pytest.raises(PropagationError, match="a hook that torch runs around every module"):
        made(policy="all", guidance={"first": {"share": 0.5}})
