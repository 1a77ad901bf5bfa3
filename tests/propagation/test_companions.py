"""What runs beside the denoiser: a ControlNet that is exchanged is followed, as the denoiser is."""

from __future__ import annotations

import pytest
import torch
from diffusers import ControlNetModel

import fdplug
from fdplug.errors import FdplugWarning
from fdplug.testing.systems import SYSTEMS

SYSTEM = SYSTEMS["controlnet"]
UNIFORM = {"uniform": {"interval": 3}}
EXCHANGED = "controlnet was exchanged, ControlNetModel for ControlNetModel: following it"


def another(pipe, **changes):
    """Return a ControlNet of the same shape with other weights."""
    made = ControlNetModel.from_config({**pipe.controlnet.config, **changes})
    generator = torch.Generator().manual_seed(1)
    for one in made.parameters():
        one.data = torch.randn(one.shape, generator=generator) / 10
    return made.eval()


def test_a_controlnet_that_was_exchanged_between_runs_is_replayed_and_counted():
    """As if it had been there from the beginning; the old one is clean."""
    pipe = SYSTEM.make()
    old, new = pipe.controlnet, another(pipe)
    pipe.controlnet = new
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        expected, counted = SYSTEM.run(pipe), on.ledger.passes("", "controlnet")
    pipe.controlnet = old
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        SYSTEM.run(pipe)
        pipe.controlnet = new
        with pytest.warns(FdplugWarning, match=EXCHANGED):
            assert torch.equal(SYSTEM.run(pipe), expected)
        assert on.ledger.passes("", "controlnet") == counted == 2
        assert "_call_impl" not in vars(old)
    assert "_call_impl" not in vars(new)


@pytest.mark.filterwarnings("ignore:the conditioning changed within a span")
def test_what_the_old_controlnet_answered_is_not_replayed_for_the_new_one():
    """Exchanged in the middle of a span, whose predictions rest on the old one."""

    def run(decoding):
        pipe = SYSTEM.make()
        new = another(pipe)

        def exchange(pipe, step, timestep, given):
            if step == 3:
                pipe.controlnet = new
            return {}

        with (
            fdplug.propagate(pipe, policy=UNIFORM, injector="none", decoding=decoding),
            pytest.warns(FdplugWarning, match=EXCHANGED),
        ):
            return SYSTEM.run(pipe, callback_on_step_end=exchange)

    serial = run("serial")
    assert torch.allclose(run("auto"), serial, atol=1e-4 * float(serial.abs().max()))
    kept = SYSTEM.make()
    with fdplug.propagate(kept, policy=UNIFORM, injector="none"):
        assert not torch.allclose(SYSTEM.run(kept), serial, atol=1e-3)


@pytest.mark.parametrize("part", ["encoder", "decoder"], ids=["replayed", "counted"])
@pytest.mark.filterwarnings("ignore:the conditioning changed within a span")
def test_every_pass_of_one_that_comes_in_mid_run_is_in_the_ledger(part):
    """The first of the new, wider one is made before anything stands around it; a hook of one's own counts."""
    pipe, seen = SYSTEM.make(), []
    new = another(pipe, conditioning_embedding_out_channels=[16, 24])
    for one in (pipe.controlnet, new):
        one.register_forward_pre_hook(lambda module, args, kwargs: seen.append(module), with_kwargs=True)

    def exchange(pipe, step, timestep, given):
        if step == 3:
            pipe.controlnet = new
        return {}

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none", part=part) as on:
        with pytest.warns(FdplugWarning, match=EXCHANGED):
            SYSTEM.run(pipe, callback_on_step_end=exchange)
        counted = list(seen)
        entries = [one for one in on.ledger.entries if one.network == "controlnet"]
        assert len(entries) == len(counted)
        priced = [on.ledger.examples[one.example].network for one in entries]
        assert [*map(id, priced)] == [*map(id, counted)]
        assert on.ledger.uncounted == ()
        assert on.ledger.gflops() > 0
