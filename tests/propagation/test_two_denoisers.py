"""A run that goes over from one denoiser to another, as that of Wan 2.2 A14B, against a plain loop over hooks."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

import fdplug
from fdplug.errors import ConfigError, FdplugWarning, PipelineError
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import close, snapshot

SYSTEM = SYSTEMS["wan-a14b"]
BOUNDARY = 4  # of six steps, 1000, 800, 600, 400, 200 and 1, the first below 350
EVERY_THIRD = {"policy": {"uniform": {"interval": 3}}, "injector": "none"}
ENCODER = "blocks.0"  # of three blocks the first is the encoder


@pytest.fixture(scope="module")
def made():
    pipe = SYSTEM.make()
    pipe.register_to_config(boundary_ratio=0.35)
    SYSTEM.run(pipe)  # its scheduler has timesteps from now on
    return pipe


@pytest.fixture
def pipe(made):
    """The same pipeline for all; a test that leaves something behind fails itself."""
    before = snapshot(made)
    yield made
    assert snapshot(made) == before


def reference(pipe, keys, modules):
    """Run the pipeline; at steps that are not among a denoiser's keys, its module hands out what it made last.

    Args:
        pipe: the pipeline.
        keys: the key steps of each denoiser.
        modules: what hands on features, of each denoiser.
    """
    at, kept = {"step": 0, "call": 0}, {}
    step, handles = pipe.scheduler.step, []

    @functools.wraps(step)
    def advance(*args, **kwargs):
        at.update(step=at["step"] + 1, call=0)
        return step(*args, **kwargs)

    def keep(component):
        def hook(module, args, output):
            place, at["call"] = (component, at["call"]), at["call"] + 1
            if at["step"] in keys[component]:
                kept[place] = output.clone()
            return kept[place].clone()

        return hook

    for component, name in modules.items():
        module = getattr(pipe, component).get_submodule(name)
        handles.append(module.register_forward_hook(keep(component)))
    pipe.scheduler.step = advance
    try:
        return SYSTEM.run(pipe, 2)
    finally:
        del pipe.scheduler.step
        for handle in handles:
            handle.remove()


ALIKE = dict.fromkeys(("transformer", "transformer_2"), ENCODER)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_one_policy_plans_the_whole_run_and_the_second_denoiser_begins_with_a_key_step(pipe, decoding):
    expected = reference(pipe, {"transformer": {0, 3}, "transformer_2": {4}}, ALIKE)
    with fdplug.propagate(pipe, **EVERY_THIRD, decoding=decoding) as on:
        got = SYSTEM.run(pipe, 2)
        assert torch.equal(SYSTEM.run(pipe, 2), got)
    assert close(got, expected)
    assert on.ledger.key_steps == (0, 3, 4)
    assert on.ledger.steps == tuple(range(6))


def test_spans_end_at_the_boundary(pipe):
    """Two calls a step, with and without the prompt; no call answers a step of the other denoiser."""
    with fdplug.propagate(pipe, **EVERY_THIRD) as on:
        SYSTEM.run(pipe)
    calls = [(entry.network, entry.steps) for entry in on.ledger.entries if entry.module == ""]
    assert calls[::2] == [("transformer", (0, 1, 2)), ("transformer", (3,)), ("transformer_2", (4, 5))]
    assert calls[1::2] == calls[::2]


def test_the_ledger_counts_both(pipe):
    with fdplug.propagate(pipe, policy="all", injector="none") as on:
        SYSTEM.run(pipe)
        assert on.ledger.passes("", "transformer") == 2 * BOUNDARY
        assert on.ledger.passes("", "transformer_2") == 2 * (6 - BOUNDARY)
        whole = on.ledger.gflops()
    with fdplug.propagate(pipe, part="trunk", **EVERY_THIRD) as on:
        SYSTEM.run(pipe)
        assert on.ledger.passes("blocks.0", "transformer") == 4
        assert on.ledger.passes("blocks.0", "transformer_2") == 2
        assert whole / 3 < on.ledger.gflops() < whole * 0.7


def test_each_may_have_settings_of_its_own(pipe):
    """The policy of a denoiser with its own settings is asked for its own steps alone."""
    own = {"policy": {"uniform": {"count": 1}}, "part": "trunk"}
    keys = {"transformer": {0, 2}, "transformer_2": {4}}
    expected = reference(pipe, keys, {"transformer": ENCODER, "transformer_2": "blocks.2"})
    settings = {"policy": {"uniform": {"count": 2}}, "injector": "none", "components": {"transformer_2": own}}
    with fdplug.propagate(pipe, **settings) as on:
        assert close(SYSTEM.run(pipe, 2), expected)
    assert on.ledger.key_steps == (0, 2, 4)
    assert "transformer_2: policy=uniform, cache=reuse, injector=none, part=trunk, parallel" in repr(on)


def test_noise_that_is_put_back_is_that_of_the_whole_run(pipe):
    """The prior is what the first denoiser began with, also where only the second has an injector."""
    seen = []

    class Watched(fdplug.injectors.NoiseInjector):
        name = "watched"

        def inject(self, sample, prior, step):
            seen.append((step.index, prior.clone()))
            return sample

    settings = {"policy": "all", "injector": "none", "components": {"transformer_2": {"injector": Watched()}}}
    with fdplug.propagate(pipe, **settings):
        SYSTEM.run(pipe)
    with fdplug.propagate(pipe, policy="all", injector=Watched()):
        SYSTEM.run(pipe)
    priors = dict(seen[2:])
    assert [step for step, _ in seen[:2]] == [4, 5]
    assert all(torch.equal(prior, priors[0]) for _, prior in seen)


def test_guidance_is_planned_over_the_whole_run(pipe):
    """The first half of six steps are three, all of the first denoiser: none of the second is guided."""
    with fdplug.propagate(pipe, policy="all", injector="none", guidance={"first": {"share": 0.5}}) as on:
        SYSTEM.run(pipe)
    assert on.ledger.passes("", "transformer") == 2 * 3 + 1
    assert on.ledger.passes("", "transformer_2") == 2


def test_an_error_in_the_second_leaves_nothing_behind(pipe):
    with fdplug.propagate(pipe, **EVERY_THIRD):
        expected = SYSTEM.run(pipe)

        def explode(*args):
            raise RuntimeError("in the second")

        handle = pipe.transformer_2.blocks[0].register_forward_hook(explode)
        with pytest.raises(RuntimeError, match="in the second"):
            SYSTEM.run(pipe)
        handle.remove()
        assert torch.equal(SYSTEM.run(pipe), expected)


@pytest.mark.parametrize("ratio", [None, 0.0])
def test_a_pipeline_without_a_boundary_stays_with_the_first(ratio):
    pipe = SYSTEM.make()
    pipe.register_to_config(boundary_ratio=ratio)
    with fdplug.propagate(pipe, **EVERY_THIRD) as on:
        SYSTEM.run(pipe)
    assert on.ledger.key_steps == (0, 3)
    assert on.ledger.passes("", "transformer_2") == 0


def test_a_second_denoiser_that_is_exchanged_is_followed():
    pipe, other = SYSTEM.make(), SYSTEM.make()
    other.transformer_2 = copy.deepcopy(other.transformer)
    with fdplug.propagate(other, **EVERY_THIRD):
        expected = SYSTEM.run(other)
    with fdplug.propagate(pipe, **EVERY_THIRD) as on:
        SYSTEM.run(pipe)
        pipe.transformer_2 = copy.deepcopy(pipe.transformer)
        with pytest.warns(FdplugWarning, match="transformer_2 was exchanged"):
            assert torch.equal(SYSTEM.run(pipe), expected)
        assert on.active
        assert len(on.ledger.key_steps) < len(on.ledger.steps)
        assert torch.equal(SYSTEM.run(pipe), expected)


def test_another_pipeline_may_not_share_either(pipe):
    other = SYSTEMS["wan"].make()
    other.transformer = pipe.transformer_2
    with fdplug.propagate(pipe), pytest.raises(PipelineError, match="already propagated by another WanPipeline"):
        fdplug.propagate(other)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ({"transfomer_2": {}}, "no denoiser 'transfomer_2', did you mean 'transformer_2'"),
        ({"transformer_2": {"polcy": "all"}}, "no propagation setting 'polcy', did you mean 'policy'"),
        ({"transformer_2": {"transforms": []}}, "transforms of transformer_2: this is a setting of the whole pipeline"),
        ({"transformer_2": "paper"}, "the settings of transformer_2 are a mapping, got 'paper'"),
        ("paper", "components is a mapping"),
    ],
)
def test_wrong_settings_of_a_component_are_refused(pipe, components, message):
    with pytest.raises(ConfigError, match=message):
        fdplug.propagate(pipe, components=components)
