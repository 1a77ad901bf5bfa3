"""What changes in the middle of a run, at the end of a span or inside it: serial = parallel = a plain loop."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D

import fdplug
from fdplug.errors import FdplugWarning, PropagationError
from fdplug.testing import latents, tiny_pipeline, tiny_unet
from tests.propagation.test_silence import KEYS, STEPS

UNIFORM = {"uniform": {"interval": 3}}

pytestmark = pytest.mark.filterwarnings("ignore:the (denoiser|conditioning|timesteps) changed within a span")


def close(one, other):
    return torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


def changed(changes, decoding="auto", **settings):
    """Return what a fresh pipeline makes where something is done to it after some of its steps."""
    pipe = tiny_pipeline()
    text = settings.pop("text", [])

    def change(pipe, step, timestep, given):
        return changes[step](pipe, given) or {} if step in changes else {}

    with fdplug.propagate(pipe, **{"policy": UNIFORM, "injector": "none", "decoding": decoding, **settings}):
        names = ["latents", *text]
        return latents(pipe, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)


def couple(pipe, given):
    """Let the rows of a batch see how many there are."""
    block = pipe.unet.up_blocks[0].resnets[0]
    block.register_forward_hook(lambda module, args, output: output * (1 + 0.1 * len(output)))


def adapt(pipe, given):
    from peft import LoraConfig

    torch.manual_seed(0)
    pipe.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]), adapter_name="a")


def weaken(pipe, given):
    pipe.unet.set_adapters(["a"], [0.1])


def drop(pipe, given):
    pipe.unet.up_blocks[0].resnets[0].dropout.p = 0.5
    pipe.unet.up_blocks[0].resnets[0].dropout.train()


def retime(pipe, given):
    pipe.scheduler.timesteps[4:] -= 20


CHANGES = {
    "a hook that couples rows, between spans": {2: couple},
    "a hook that couples rows, within one": {3: couple},
    "an adapter between spans, its strength in the next": {2: adapt, 4: weaken},
    "dropout": {1: drop},
    "timesteps in place": {3: retime},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_decoder_or_the_timesteps_change(changes):
    if adapt in changes.values():
        pytest.importorskip("peft")
    results = []
    for decoding in ("serial", "auto"):
        torch.manual_seed(1)
        results.append(changed(changes, decoding))
    assert close(*results)


def test_parallel_decoding_that_is_insisted_on_is_refused_as_soon_as_rows_see_each_other():
    with pytest.raises(PropagationError, match=r"the hook of up_blocks\.0\.resnets\.0"):
        changed({2: couple}, "parallel")


# --- methods of classes -----------------------------------------------------------------------------------------------


def counting(method):
    """Let the rows of a batch see how many there are."""
    return lambda self, *args, **kwargs: (out := method(self, *args, **kwargs)) * (1 + 0.1 * len(out))


PATCHED = {"forward": ResnetBlock2D, "__call__": AttnProcessor2_0}


@pytest.mark.parametrize("name", PATCHED)
def test_a_method_that_somebody_has_put_into_a_class_of_diffusers_may_look_across_rows(name, monkeypatch):
    kind = PATCHED[name]
    monkeypatch.setattr(kind, name, counting(getattr(kind, name)))
    pipe = tiny_pipeline()
    with fdplug.propagate(pipe, policy=UNIFORM, decoding="serial"):
        serial = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        assert torch.equal(latents(pipe), serial)
    assert f"{kind.__name__}" in on.ledger.one_by_one
    assert f"is from {__name__}" in on.ledger.one_by_one


@pytest.mark.parametrize("step", [2, 3])
def test_such_a_method_is_noticed_in_the_middle_of_a_run(step, monkeypatch):
    usual = ResnetBlock2D.forward

    def patch(pipe, given):
        monkeypatch.setattr(ResnetBlock2D, "forward", counting(usual))

    serial = changed({step: patch}, "serial")
    monkeypatch.setattr(ResnetBlock2D, "forward", usual)
    assert close(changed({step: patch}), serial)


def turn(pipe, given):
    """Go on with another prompt."""
    return {"prompt_embeds": -2 * given["prompt_embeds"].roll(1, -1)}


@pytest.mark.parametrize("decoding", ["serial", "auto"])
def test_forecasts_are_made_of_one_prompt(decoding):
    """Three prompts with one key step each: there is nothing to forecast from, so that features are reused."""
    how = {"decoding": decoding, "policy": {"explicit": {"steps": [0, 3, 6]}}, "text": ["prompt_embeds"]}
    shares = {"damped": {"steps": [0, 3, 6], "shares": [1.0, 1.0, 1.0]}}
    reused = changed({2: turn, 5: turn}, **how)
    assert torch.equal(changed({2: turn, 5: turn}, cache=shares, **how), reused)
    assert not close(changed({}, cache=shares, **how), changed({}, **how))


def halve(pipe, given):
    """Go on with the first of two pictures."""
    texts = [one[:1] for one in given["prompt_embeds"].chunk(2)]
    return {"latents": given["latents"][:1], "prompt_embeds": torch.cat(texts)}


def plain_guidance(change, at, every):
    """Guidance `cached` as a plain loop: the difference of the last step at which all rows ran on what is given now."""
    pipe, place = tiny_pipeline(), {"step": 0, "text": None}
    taken = pipe.scheduler.step

    @functools.wraps(taken)
    def step(*args, **kwargs):
        place["step"] += 1
        return taken(*args, **kwargs)

    def guided(module, args, kwargs, output):
        text, (without, given) = kwargs["encoder_hidden_states"], output[0].chunk(2)
        same = place["text"] is not None and place["text"].shape == text.shape and torch.equal(place["text"], text)
        if place["step"] % every == 0 or not same:
            place["difference"] = given - without
        place["text"] = text.clone()
        return (torch.cat([given - place["difference"], given]),)

    pipe.scheduler.step = step
    pipe.unet.register_forward_hook(guided, with_kwargs=True)
    return _run(pipe, change, at)


def _run(pipe, change, at):
    def turned(pipe, step, timestep, given):
        return change(pipe, given) if step == at else {}

    how = {"callback_on_step_end": turned, "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    return latents(pipe, prompt=["red", "blue"], **how)


@pytest.mark.parametrize("change", [turn, halve])
@pytest.mark.parametrize("at", [2, 3, 4])
def test_guidance_rests_on_the_prompts_and_the_batch_that_are_given_now(change, at):
    pipe = tiny_pipeline()
    with fdplug.propagate(pipe, policy="all", injector="none", guidance={"cached": {"every": 3}}):
        assert close(_run(pipe, change, at), plain_guidance(change, at, 3))


# --- loops of one's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begins", [0, 4])
def test_rows_at_timesteps_of_their_own_are_decoded_step_by_step(begins):
    """From the first step, or from the middle of a span that was decoded ahead."""
    bare = SimpleNamespace(unet=tiny_unet(), scheduler=DDIMScheduler())

    @torch.no_grad()
    def run(decoding):
        sample, text = torch.ones(2, 4, 8, 8), torch.ones(2, 6, 16)
        with fdplug.propagate(bare, policy=KEYS, injector="none", decoding=decoding) as on:
            bare.scheduler.set_timesteps(STEPS)
            for index, timestep in enumerate(bare.scheduler.timesteps):
                apart = torch.tensor([0, -40 if index >= begins else 0])
                noise = bare.unet(sample, (timestep + apart).clamp(min=0), text).sample
                sample = bare.scheduler.step(noise, timestep, sample).prev_sample
        return sample, on.ledger.one_by_one

    serial, _ = run("serial")
    parallel, why = run("auto")
    assert close(parallel, serial)
    assert why == "the rows of a batch are at different timesteps"
    with pytest.raises(PropagationError, match="the rows of a batch are at different timesteps"):
        run("parallel")


def test_a_change_is_told():
    with pytest.warns(FdplugWarning, match="the timesteps changed within a span"):
        changed({3: retime})
