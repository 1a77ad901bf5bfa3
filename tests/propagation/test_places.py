"""Modules of the part that are exchanged while propagation is on, and modules that stand at two places."""

from __future__ import annotations

import copy

import pytest
import torch

import fdplug
from fdplug.errors import FdplugWarning, PipelineError, PropagationError
from fdplug.testing import latents, tiny_pipeline
from fdplug.transforms import Transform

SETTINGS = {"policy": {"uniform": {"interval": 3}}, "injector": "none"}


def _block(pipe):
    """Put another middle block in."""
    pipe.unet.mid_block = tiny_pipeline(seed=5).unet.mid_block


def _list(pipe):
    """Put another list of other blocks in."""
    pipe.unet.down_blocks = tiny_pipeline(seed=5).unet.down_blocks


def _adapter(pipe):
    """Wrap the first convolution, as peft does with adapters."""
    lora = pytest.importorskip("peft").LoraConfig(r=2, init_lora_weights=False, target_modules=["conv_in"])
    torch.manual_seed(0)
    pipe.unet.add_adapter(lora, adapter_name="a")


EXCHANGES = {_block: "mid_block", _list: "down_blocks", _adapter: "conv_in"}


def clean(module):
    """Whether nothing of fdplug lies on a network."""
    return not any("_call_impl" in vars(one) for one in module.modules())


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_what_is_exchanged_between_runs_is_as_if_it_had_been_there(pipe, exchange, decoding):
    other = copy.deepcopy(pipe)
    exchange(other)
    with fdplug.propagate(other, **SETTINGS, decoding=decoding) as fresh:
        expected = latents(other)
    with fdplug.propagate(pipe, **SETTINGS, decoding=decoding) as on:
        latents(pipe)
        exchange(pipe)
        with pytest.warns(
            FdplugWarning, match=f"{EXCHANGES[exchange]} of the pipeline's unet was exchanged: following"
        ):
            assert torch.equal(latents(pipe), expected)
        assert on.ledger.key_steps == fresh.ledger.key_steps
        assert on.ledger.passes("mid_block") == fresh.ledger.passes("mid_block") == len(fresh.ledger.key_steps)
        assert torch.equal(latents(pipe), expected), "said once, and followed from then on"
    assert clean(pipe.unet)


def test_an_adapter_that_is_unloaded_is_as_if_it_had_never_been_there(pipe):
    with fdplug.propagate(pipe, **SETTINGS):
        expected = latents(pipe)
    _adapter(pipe)
    with fdplug.propagate(pipe, **SETTINGS):
        latents(pipe)
        pipe.unet.unload_lora()
        with pytest.warns(FdplugWarning, match="conv_in of the pipeline's unet was exchanged"):
            assert torch.equal(latents(pipe), expected)
    assert clean(pipe.unet)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_after_an_exchange_in_a_run_the_rest_of_it_is_computed(pipe, exchange, decoding):
    """Truth: propagation is taken out at that step by hand."""

    def run(pipe, change):
        return latents(pipe, num_inference_steps=10, callback_on_step_end=change)

    def by_hand(pipe, step, timestep, given):
        if step == 4:
            handle.remove()
            exchange(pipe)
        return {}

    def in_run(pipe, step, timestep, given):
        if step == 4:
            exchange(pipe)
        return {}

    other = copy.deepcopy(pipe)
    handle = fdplug.propagate(other, **SETTINGS, decoding="serial")
    expected = run(other, by_hand)
    with fdplug.propagate(pipe, **SETTINGS, decoding=decoding) as on:
        with pytest.warns(FdplugWarning) as told:
            assert torch.allclose(run(pipe, in_run), expected, atol=1e-4 * float(expected.abs().max()))
        assert [str(one.message) for one in told if one.category is FdplugWarning] == [
            f"{EXCHANGES[exchange]} of the pipeline's unet was exchanged: following it, from the next run on"
        ]
        latents(pipe)
        assert on.ledger.key_steps == (0, 3, 6, 9)
    assert clean(pipe.unet)


class Idle(Transform):
    """Changes nothing."""

    name = "idle"

    def apply(self, pipe):
        pass

    def undo(self, pipe):
        pass


def test_transforms_cannot_go_over_to_another_module(pipe):
    with fdplug.propagate(pipe, **SETTINGS, transforms=[Idle()]):
        latents(pipe)
        _block(pipe)
        with pytest.raises(
            PipelineError, match="mid_block of the pipeline's unet was exchanged, and idle cannot go over"
        ):
            latents(pipe)


def test_one_block_at_two_places_of_a_part_is_refused():
    pipe = tiny_pipeline(block_out_channels=(8, 8, 8, 8))
    pipe.unet.down_blocks[1] = pipe.unet.down_blocks[0]
    with pytest.raises(
        PropagationError, match=r"down_blocks\.1 and down_blocks\.0 are one module, which part 'encoder'"
    ):
        fdplug.propagate(pipe)
    assert clean(pipe.unet)


def test_what_the_part_shares_with_the_rest_is_seen_to_change(pipe):
    """A norm of the decoder is one of the encoder's: what changes in it changes what is decoded ahead."""
    first, last = pipe.unet.down_blocks[0].resnets[0], pipe.unet.up_blocks[-1].resnets[-1]
    last.norm2 = first.norm2

    def change(pipe, step, timestep, given):
        if step == 4:
            with torch.no_grad():
                last.norm2.weight.mul_(0.5)
        return {}

    with fdplug.propagate(copy.deepcopy(pipe), **SETTINGS, decoding="serial") as on:
        last = on.pipe.unet.up_blocks[-1].resnets[-1]
        serial = latents(on.pipe, num_inference_steps=10, callback_on_step_end=change)
    last = pipe.unet.up_blocks[-1].resnets[-1]
    with (
        fdplug.propagate(pipe, **SETTINGS),
        pytest.warns(FdplugWarning, match="the denoiser changed within a span"),
    ):
        parallel = latents(pipe, num_inference_steps=10, callback_on_step_end=change)
    assert torch.allclose(parallel, serial, atol=1e-4 * float(serial.abs().max()))
