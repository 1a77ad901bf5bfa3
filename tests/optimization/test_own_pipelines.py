"""`fdplug.optimize` on pipelines that need more than prompts: image-to-image, a ControlNet."""

from __future__ import annotations

import pytest

import fdplug
from fdplug.testing.systems import SYSTEMS
from tests.optimization.conftest import few_samplers
from tests.optimization.test_optimize import PROMPTS

SMALL = {"steps": 8, "calibration": 2, "held_out": 4, "trials": 6, "batch_size": 2}
NOT_THE_CALLS = ("prompt", "output_type", "num_inference_steps", "generator")


def state(pipe):
    """The scheduler, and everything on the instances of all networks."""
    networks = [one for one in pipe.components.values() if hasattr(one, "named_modules")]
    return id(pipe.scheduler), [{name: set(vars(one)) for name, one in net.named_modules()} for net in networks]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd-img2img", "controlnet"])
def test_a_call_of_ones_own_is_searched_for_and_leaves_nothing_behind(name, monkeypatch):
    system = SYSTEMS[name]
    pipe = system.make()
    few_samplers(monkeypatch)

    def call(pipe, prompts, generator, **arguments):
        given = {key: value for key, value in system.arguments(len(prompts)).items() if key not in NOT_THE_CALLS}
        return pipe(prompt=prompts, generator=generator, **given, **arguments).images

    call(pipe, PROMPTS[:1], None, num_inference_steps=3)  # what the pipeline itself sets up at its first call
    before = state(pipe)
    answer = fdplug.optimize(pipe, PROMPTS, "3calls", call=call, **SMALL)
    assert state(pipe) == before
    reference, *others = answer.rows
    assert any(row.candidate.propagation for row in others), "replayed steps were tried, too"
    taken = 5 if name == "sd-img2img" else 8  # int(8 x 0.7) steps
    assert reference.price.calls == taken
    assert all(row.price.calls <= 3 for row in others if "without loss" not in row.roles)
