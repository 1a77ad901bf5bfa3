"""The plan of a run: key steps, the modules that compute, the steps that one call answers."""

from __future__ import annotations

import inspect
import warnings
from types import SimpleNamespace

import pytest
import torch

import fdplug
from fdplug.caches import Reuse
from fdplug.config import PropagationConfig
from fdplug.denoisers import Part
from fdplug.errors import FdplugWarning, PropagationError, warn
from fdplug.injectors import NoNoise
from fdplug.policies import AdaptivePolicy, All, BlockPolicy, Explicit
from fdplug.propagation.method import Method
from fdplug.propagation.plan import Plan
from fdplug.propagation.window import Window
from fdplug.schedule import Schedule
from fdplug.testing import latents

SAMPLE = torch.ones(2, 4, 8, 8)
STEPS = 10
PART = Part(name="encoder", modules=("stem", "one", "two"), sample_free=True, chained=frozenset({"stem"}))


class Odd(AdaptivePolicy):
    """Every odd step; counts how often it is asked."""

    name = "odd"

    def reset(self):
        self.asked = 0

    def is_key(self, step, sample):
        self.asked += 1
        return step.index % 2 == 1


class ByModule(BlockPolicy):
    """The first module at even steps, the second at step 0."""

    name = "by-module"

    def block_key_steps(self, schedule, modules):
        self.modules = modules
        return {"one": frozenset(range(0, schedule.num_steps, 2)), "two": frozenset({0})}


def plan(policy, limit=None, schedule=None, ranks=1):
    schedule = schedule or Schedule(tuple(map(float, range(STEPS))))
    method = Method(
        settings=PropagationConfig(),
        family=SimpleNamespace(),
        part=PART,
        policy=policy,
        cache=Reuse(),
        injector=NoNoise(),
        parallel=not policy.stepwise,
        max_span_batch=limit,
        decoding=SimpleNamespace(ranks=ranks),
    )
    return Plan(method, schedule)


def window(step, computes, **more):
    return Window(0, (step,), 2, computes, **more)


def test_fixed_key_steps():
    made = plan(Explicit([0, 4]))
    assert [step for step in range(STEPS) if made.is_key(step, SAMPLE)] == [0, 4]
    assert made.span(0, SAMPLE) == (0, 1, 2, 3)
    assert made.span(2, SAMPLE) == (2, 3)
    assert made.span(4, SAMPLE) == (4, 5, 6, 7, 8, 9)


def test_every_step_is_a_span_of_its_own():
    made = plan(All())
    assert [made.span(step, SAMPLE) for step in range(STEPS)] == [(step,) for step in range(STEPS)]


def test_a_span_ends_with_the_run():
    made = plan(Explicit([0, 4]), schedule=Schedule(tuple(map(float, range(STEPS))), start=1, stop=7))
    assert made.span(5, SAMPLE) == (5, 6)


@pytest.mark.parametrize(("limit", "ranks", "first"), [(2, 1, 1), (4, 1, 2), (8, 1, 4), (8, 2, 5), (100, 1, 10)])
def test_a_span_is_cut_into_equal_shares(limit, ranks, first):
    """Ten steps of two rows: at most so many rows per call and process, in as few calls as possible."""
    assert len(plan(Explicit([0]), limit, ranks=ranks).span(0, SAMPLE)) == first


def test_an_adaptive_policy_is_asked_once_a_step():
    policy = Odd()
    made = plan(policy)
    assert [made.is_key(step, SAMPLE) for step in (0, 0, 1, 1, 1)] == [False, False, True, True, True]
    assert policy.asked == 2
    made.ask_again()
    assert made.is_key(1, SAMPLE)
    assert policy.asked == 3
    assert made.span(3, SAMPLE) == (3,)


def test_modules_have_key_steps_of_their_own():
    policy = ByModule()
    made = plan(policy)
    assert policy.modules == ("one", "two"), "the chained stem is not asked about"
    computed = {step: [name for name in PART.modules if made.computes(name, window(step, False))] for step in (0, 1, 2)}
    assert computed == {0: ["stem", "one", "two"], 1: [], 2: ["stem", "one"]}
    assert all(made.computes(name, window(1, True, fresh=True)) for name in PART.modules)
    assert made.span(0, SAMPLE) == (0,)


def test_a_portion_computes_nothing():
    made = plan(Explicit([0]))
    assert made.computes("one", window(0, True))
    assert not made.computes("one", window(0, True, portion=range(1)))


def test_key_steps_outside_the_run_are_refused():
    with pytest.raises(PropagationError, match=r"policy 'explicit' asks for key steps 12, but this run has 10 steps"):
        plan(Explicit([0, 12]))


def test_steps_can_be_decoded_one_by_one_from_now_on():
    made = plan(Explicit([0]))
    made.one_by_one = True
    assert made.span(0, SAMPLE) == (0,)


def test_warnings_are_given_at_the_line_of_the_user(pipe):
    """Deep inside diffusers and torch, and when called directly; not at a line of fdplug's."""
    with warnings.catch_warnings(record=True) as caught, fdplug.propagate(pipe, policy={"uniform": {"interval": 1}}):
        warnings.simplefilter("always")
        latents(pipe)
        line = inspect.currentframe().f_lineno + 1
        pipe("a red circle", num_inference_steps=2, output_type="latent", height=16, width=16)
        warn("direct")
    told = [(one.filename, one.lineno) for one in caught if issubclass(one.category, FdplugWarning)]
    assert len(told) == 3
    assert told[1:] == [(__file__, line), (__file__, line + 1)]
