"""What there is to try: what plugins declare, as far as it fits; schedules that are equal are one."""

from __future__ import annotations

import itertools

import pytest
import torch

from fdplug import registry
from fdplug.optimization.proposing.space import calls, catalogue
from fdplug.testing.systems import SYSTEMS

KINDS = ("policy", "cache", "injector", "sampler", "transform", "part", "guidance")


@pytest.mark.parametrize("kind", KINDS)
def test_every_declared_value_can_be_built(kind):
    declared = {name: entry.cls.space(20) for name, entry in registry.entries(kind).items()}
    for name, space in declared.items():
        for values in itertools.product(*space.values()) if space is not None else ():
            registry.build(kind, {name: dict(zip(space, values, strict=True))})


def test_a_plugin_that_says_nothing_is_left_out(pipe):
    found = catalogue(pipe, 20)
    assert set(found.plugins["policy"]) == {"early", "paper", "uniform"}
    assert set(found.plugins["cache"]) == {"reuse"}, "drop and the tuned ones are not to be tried"
    assert set(found.plugins["injector"]) == {"none"}
    assert set(found.plugins["guidance"]) == {"first", "interval", "cached", "adaptive"}
    assert found.at_once == ("encoder", "trunk")
    assert found.transforms == (("compile",) if torch.cuda.is_available() else ())
    assert found.parts == ("encoder", "trunk")


def test_samplers_that_do_the_same_are_one(pipe):
    """The tiny pipeline's own scheduler is DDIM with leading timesteps."""
    samplers = catalogue(pipe, 20).samplers
    assert samplers[0] == "own"
    assert "ddim" not in samplers
    assert {"ddim": {"spacing": "leading"}} not in samplers
    assert {"ddim": {"spacing": "trailing"}} in samplers
    assert {"dpm-solver++": {"spacing": "trailing"}} in samplers
    assert {"dpm-solver++": {"karras": True}} in samplers
    names = {registry.parse("sampler", one)[0] for one in samplers}
    assert not names & {"lcm", "ddpm", "flow-euler"}, "for distilled models, of fresh noise, for flows"
    assert len({str(one) for one in samplers}) == len(samplers)


def test_a_flow_model_is_offered_flow_samplers_only():
    system = next(one for one in SYSTEMS.values() if one.pipeline == "StableDiffusion3Pipeline")
    names = {registry.parse("sampler", one)[0] for one in catalogue(system.make(), 10).samplers}
    assert names == {"own", "flow-dpm++", "flow-unipc"}


def test_calls_are_counted_and_not_steps(pipe):
    assert calls(pipe.scheduler, "ddim", 10) == 10
    assert calls(pipe.scheduler, "heun", 10) == 19
    assert calls(pipe.scheduler, "pndm", 10) == 11
    assert calls(pipe.scheduler, "ays", 7) == 7
