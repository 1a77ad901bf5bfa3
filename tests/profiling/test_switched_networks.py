"""Adapters and layers that are switched on and off within a run: every pass is priced by what it ran."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionGLIGENPipeline

import fdplug
from fdplug import trees
from fdplug.profiling.flops import module_flops
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.system import silent

STEPS, KEYS = 9, (0, 4, 8)
UNIFORM = {"uniform": {"interval": 4}}


def costs(network, arguments, states):
    """What fvcore counts, module by module, for one row of a pass of the network in each of its states."""
    concrete = trees.map_tensors(lambda one: torch.ones(one.shape, dtype=one.dtype), dict(arguments))
    found = []
    for switch in states:
        switch()
        found.append(module_flops(network, {**concrete, "timestep": torch.tensor(1)}))
    return found


@pytest.mark.parametrize(
    ("decoding", "off", "again"), [pytest.param("serial", 1, 6, marks=pytest.mark.slow), ("auto", 3, 7)]
)
def test_adapters_that_are_off_for_some_steps_cost_nothing_there(pipe, decoding, off, again):
    """In the middle of spans, and between them, where nothing that was decoded ahead tells of the change."""
    peft = pytest.importorskip("peft")
    pipe.unet.add_adapter(peft.LoraConfig(r=4, target_modules=["to_q", "to_v"]), adapter_name="a")

    def switch(pipe, step, timestep, given):
        {off: pipe.unet.disable_adapters, again: pipe.unet.enable_adapters}.get(step, dict)()
        return {}

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none", decoding=decoding) as on:
        latents(pipe, num_inference_steps=STEPS, callback_on_step_end=switch)
        counted, rows, part = on.ledger.gflops(), on.ledger.rows("") / STEPS, on.method.part.modules
        assert on.ledger.key_steps == KEYS
    arguments = {"sample": torch.ones(1, 4, 8, 8), "encoder_hidden_states": torch.ones(1, 16, 16)}
    with_it, without = costs(pipe.unet, arguments, (pipe.unet.enable_adapters, pipe.unet.disable_adapters))
    expected = 0
    for step in range(STEPS):
        cost = without if off < step <= again else with_it
        expected += cost[""] - (0 if step in KEYS else sum(cost[name] for name in part))
    assert without[""] < with_it[""]
    assert counted == pytest.approx(rows * expected / 1e9, rel=1e-9)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")
def test_adapters_are_as_they_were_after_counting(pipe):
    peft = pytest.importorskip("peft")
    for name in ("a", "b"):
        pipe.unet.add_adapter(peft.LoraConfig(r=4, target_modules=["to_q"]), adapter_name=name)

    def switch(pipe, step, timestep, given):
        pipe.unet.set_adapters(["a"] if step < 4 else ["a", "b"])
        return {}

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none", decoding="serial") as on:
        latents(pipe, num_inference_steps=STEPS, callback_on_step_end=switch)
        pipe.unet.set_adapters(["b"])
        layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
        assert on.ledger.gflops() == on.ledger.gflops()
        assert layer.active_adapters == ["b"]


def test_an_ip_adapter_of_strength_0_costs_nothing():
    system = SYSTEMS["sd-ip-adapter"]
    pipe = system.make()

    def cut(pipe, step, timestep, given):
        pipe.set_ip_adapter_scale(1.0 if step < 3 else 0.0)
        return {}

    with fdplug.propagate(pipe, policy="all", injector="none") as on:
        system.run(pipe, num_inference_steps=6, callback_on_step_end=cut)
        counted, rows = on.ledger.gflops(), on.ledger.rows("")
        arguments = on.ledger.examples["unet"].arguments
    scales = [lambda scale=scale: pipe.set_ip_adapter_scale(scale) for scale in (1.0, 0.0)]
    full, without = (one[""] for one in costs(pipe.unet, arguments, scales))
    assert without < full
    assert counted == pytest.approx(rows / 6 * (4 * full + 2 * without) / 1e9, rel=1e-9)


@pytest.mark.parametrize("share", [pytest.param(1.0, marks=pytest.mark.slow), 0.5])
def test_gligen_is_priced_with_its_layers_for_as_long_as_they_are_on(share):
    parts = tiny_pipeline(attention_type="gated").components
    del parts["image_encoder"]
    pipe = silent(StableDiffusionGLIGENPipeline(**parts, requires_safety_checker=False))
    boxes = {"gligen_phrases": ["cat"], "gligen_boxes": [[0.1, 0.1, 0.5, 0.5]]}
    with fdplug.propagate(pipe, policy="all", injector="none") as on:
        pipe(
            "a cat",
            height=16,
            width=16,
            num_inference_steps=6,
            output_type="latent",
            gligen_scheduled_sampling_beta=share,
            **boxes,
        )
        counted, rows = on.ledger.gflops(), on.ledger.rows("")
        arguments = on.ledger.examples["unet"].arguments
    states = [lambda is_on=is_on: pipe.enable_fuser(is_on) for is_on in (True, False)]
    full, without = (one[""] for one in costs(pipe.unet, arguments, states))
    with_layers = int(share * 6)
    assert without < full
    expected = with_layers * full + (6 - with_layers) * without
    assert counted == pytest.approx(rows / 6 * expected / 1e9, rel=1e-9)
