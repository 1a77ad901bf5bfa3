"""Guidance by separate calls: each keeps its own features, whatever the order, and whichever is left out when."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.errors import FdplugWarning, NoEffectWarning
from fdplug.testing import tiny_pipeline
from tests.propagation.reference import decode, encode

STEPS, EVERY = 8, 3
POLICY = {"uniform": {"interval": EVERY}}
ORDERS = (("given", "without"), ("without", "given"))
# The steps at which the unconditional call is left out.
LEFT_OUT = {"never": (), "at first": (0, 1), "in between": (2, 3, 4), "within a span": (4,), "in the end": (5, 6, 7)}


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TEXTS = {"given": noise(1, 1, 16, 16), "without": noise(2, 1, 16, 16)}


@pytest.fixture(scope="module")
def shared():
    return tiny_pipeline()


def guided(predictions):
    if len(predictions) == 1:
        return predictions["given"]
    return predictions["without"] + 5 * (predictions["given"] - predictions["without"])


@torch.no_grad()
def loop(pipe, predict, order, left_out):
    """A denoising loop of one's own; `predict(index, name, sample, timestep)` makes one call."""
    sample = noise(0, 1, 4, 8, 8)
    pipe.scheduler.set_timesteps(STEPS)
    for index, timestep in enumerate(pipe.scheduler.timesteps):
        names = [name for name in order if name == "given" or index not in left_out]
        made = {name: predict(index, name, sample, timestep) for name in names}
        sample = pipe.scheduler.step(guided(made), timestep, sample).prev_sample
    return sample


def stock(pipe, texts=None):
    return lambda index, name, sample, timestep: pipe.unet(sample, timestep, (texts or TEXTS)[name]).sample


def plain(pipe):
    """Features by name: made at key steps, and where the call was left out at the last one."""
    kept = {}

    def predict(index, name, sample, timestep):
        key = index - index % EVERY
        if index == key or kept.get(name, (-1,))[0] < key:
            kept[name] = index, encode(pipe.unet, sample, timestep, TEXTS[name])
        return decode(pipe.unet, *kept[name][1], timestep, TEXTS[name])

    return predict


def close(one, other):
    return float((one - other).abs().max()) <= 1e-4 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("left_out", LEFT_OUT.values(), ids=LEFT_OUT)
@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_calls_are_told_apart_by_what_they_are_given(shared, decoding, left_out):
    expected = loop(shared, plain(shared), ORDERS[0], left_out)
    with fdplug.propagate(shared, policy=POLICY, injector="none", decoding=decoding):
        for order in ORDERS:
            assert close(loop(shared, stock(shared), order, left_out), expected)


def test_equal_values_in_new_tensors_are_the_same_call(shared):
    """The encoder is computed as often as with the tensors themselves."""

    def copied(index, name, sample, timestep):
        return shared.unet(sample, timestep, TEXTS[name].clone()).sample

    with fdplug.propagate(shared, policy=POLICY, injector="none") as on:
        got = loop(shared, copied, ORDERS[0], ())
        assert on.ledger.passes("conv_in") == 2 * 3
        assert torch.equal(got, loop(shared, stock(shared), ORDERS[0], ()))


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_one_of_two_calls_that_is_given_something_new_is_computed(shared, decoding):
    """In place, so that only its version tells: step 4 of the span 3 to 5. The other call goes on as it was."""
    texts = {name: text.clone() for name, text in TEXTS.items()}

    def changing(index, name, sample, timestep):
        if (index, name) == (4, "given"):
            texts[name].neg_()
        return shared.unet(sample, timestep, texts[name]).sample

    with fdplug.propagate(shared, policy=POLICY, injector="none", decoding=decoding) as on:
        if decoding == "serial":
            loop(shared, changing, ORDERS[0], ())
        else:
            with pytest.warns(FdplugWarning, match="conditioning changed within a span"):
                loop(shared, changing, ORDERS[0], ())
    assert [entry.steps[0] for entry in on.ledger.entries if entry.module == "conv_in"] == [0, 0, 3, 3, 4, 6, 6]


def test_prompts_that_change_at_every_step_need_no_more_memory_than_two(shared):
    """What a call has replaced makes room for the next."""
    with fdplug.propagate(shared, policy={"explicit": {"steps": [0]}}, injector="none", decoding="serial") as on:
        seen = []

        def travelling(index, name, sample, timestep):
            seen.append(len(on.method.cache._kept))
            return shared.unet(sample, timestep, TEXTS[name] * (1 + index)).sample

        with pytest.warns(NoEffectWarning, match="given something new at each of 8 steps"):
            loop(shared, travelling, ORDERS[0], ())
    assert max(seen) == 3 * len(on.method.part.modules)  # of two calls, and of the one that is replaced
