"""`fdplug.optimize` on pipelines that need more than prompts (image-to-image, a ControlNet, SD3): left as they were."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.testing.systems import SYSTEMS
from tests.optimization.conftest import few_samplers
from tests.optimization.test_optimize import PROMPTS

SMALL = {"steps": 8, "calibration": 2, "held_out": 4, "trials": 6, "batch_size": 2}
NOT_THE_CALLS = ("prompt", "output_type", "num_inference_steps", "generator")


def told(value):
    """What a value is: of tensors and objects which one, and how often a tensor was written to."""
    if isinstance(value, torch.Tensor):
        return id(value), value._version
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    return value if isinstance(value, bool | int | float | str | torch.dtype | None) else id(value)


def state(pipe):
    """Everything that the pipeline, its scheduler and the modules of all its networks hold."""
    held = {"pipeline": told(vars(pipe)), "class": type(pipe), "scheduler": told(vars(pipe.scheduler))}
    for component, network in pipe.components.items():
        if isinstance(network, torch.nn.Module):
            held |= {f"{component} {name}": told(vars(one)) for name, one in network.named_modules()}
    return held


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd-img2img", "controlnet", "sd3"])
def test_a_call_of_ones_own_is_searched_for_and_leaves_nothing_behind(name, monkeypatch):
    system = SYSTEMS[name]
    pipe = system.make()
    if name == "sd3":
        pipe.vae.register_to_config(shift_factor=0.1)
    else:
        few_samplers(monkeypatch)

    def call(pipe, prompts, generator, **arguments):
        given = {key: value for key, value in system.arguments(len(prompts)).items() if key not in NOT_THE_CALLS}
        return pipe(prompt=prompts, generator=generator, **given, **arguments).images

    call(pipe, PROMPTS[:1], None, num_inference_steps=3)  # what the libraries set up at their first call
    before, threads, random = state(pipe), torch.get_num_threads(), torch.get_rng_state()
    answer = fdplug.optimize(pipe, PROMPTS, "3calls", call=call, **SMALL)
    assert state(pipe) == before
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), random)
    reference, *others = answer.rows
    assert any(row.candidate.propagation for row in others), "replayed steps were tried, too"
    taken = 5 if name == "sd-img2img" else 8  # int(8 x 0.7) steps
    assert reference.price.calls == taken
    assert all(row.price.calls <= 3 for row in others if "without loss" not in row.roles)
