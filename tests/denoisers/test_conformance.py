"""What must hold for every system of the support table."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import ConfigError, FdplugWarning, PropagationError
from fdplug.lookup import find_families
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import UNIFORM, close, one_of_a_kind, snapshot


def denoiser(case):
    return find_families(case.pipe)[0][1]


def test_policy_all_is_the_baseline_bit_for_bit(case):
    got, ledger = case.propagated(policy="all", injector="none")
    assert torch.equal(got, case.plain())
    assert ledger.key_steps == ledger.steps


def test_parallel_equals_serial(case):
    """Also for several pictures at once; and the method does something."""
    n = case.system.largest
    serial, _ = case.propagated(n, decoding="serial")
    parallel, _ = case.propagated(n)
    assert close(parallel, serial)
    assert not close(serial[:1], case.plain()[:1], 1e-3)


def test_a_second_call_equals_the_first(case):
    first, _ = case.propagated()
    with fdplug.propagate(case.pipe, policy=UNIFORM):
        assert torch.equal(case.run(), first)
        assert torch.equal(case.run(), first)


def test_a_batch_equals_its_singles(case):
    if case.system.largest == 1:
        pytest.skip("makes one video per call")
    if not close(case.plain(2)[:1], case.plain(1)):
        pytest.skip("the pipeline itself draws other random numbers for a batch")
    batch, _ = case.propagated(2)
    one, _ = case.propagated(1)
    assert close(batch[:1], one)


def test_the_ledger_counts_what_the_policy_says(case):
    _, ledger = case.propagated()
    taken = ledger.steps
    denoisers = find_families(case.pipe)
    family, network = denoisers[0]
    part = family.part(network, "encoder")
    if case.system.parallel:
        assert ledger.key_steps == taken[::3]
    lanes = ledger.passes(part.modules[0]) // len(ledger.key_steps)

    def passes(name):
        return sum(ledger.passes(name, family.component) for family, _ in denoisers)

    assert {passes(name) for name in part.modules} >= {lanes * len(ledger.key_steps)}
    calls = passes("")
    assert calls == lanes * len(ledger.key_steps) if case.system.parallel else calls >= len(taken)
    for companion in part.companions:
        if hasattr(case.pipe, companion.component):
            assert ledger.passes("", companion.component) == len(ledger.key_steps)


def test_removal_restores_every_attribute(case):
    expected = case.plain()
    before = snapshot(case.pipe)
    with fdplug.propagate(case.pipe, policy=UNIFORM):
        case.run()
    assert snapshot(case.pipe) == before
    assert torch.equal(case.run(), expected)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_the_middle_leaves_nothing_behind(case, error):
    expected, _ = case.propagated()
    before = snapshot(case.pipe)

    def explode(module, args, output):
        raise error("in the middle")

    with fdplug.propagate(case.pipe, policy=UNIFORM) as on:
        hook = denoiser(case).register_forward_hook(_second_time(explode))
        with pytest.raises(error, match="in the middle"):
            case.run()
        hook.remove()
        assert on.method.cache._kept == {}
        assert torch.equal(case.run(), expected)
    after = snapshot(case.pipe)
    assert after[1:] == before[1:]
    assert _own(after[0]) == _own(before[0])


def _second_time(function):
    calls = []

    def hook(*args):
        calls.append(1)
        if len(calls) == 2:
            function(*args)

    return hook


def _own(modules):
    """Leave out what others leave behind: torch its dictionaries of hooks, Text2Video-Zero its attention processors."""
    return {
        name: {key: value for key, value in held.items() if "hooks" not in key and key != "processor"}
        for name, held in modules.items()
    }


@pytest.mark.parametrize("change", ["size", "steps", "batch"])
@pytest.mark.parametrize("case", one_of_a_kind(), indirect=True)
def test_another_size_step_count_or_batch_is_as_on_a_fresh_pipeline(case, change):
    arguments = {"size": case.system.resized, "steps": {"num_inference_steps": case.system.steps + 2}, "batch": {}}[
        change
    ]
    n = case.system.largest if change == "batch" else 1
    if change == "size" and not arguments:
        pytest.skip("makes one size only")
    used, fresh = case.fresh(), case.fresh()
    with fdplug.propagate(used, policy=UNIFORM):
        case.system.run(used)
        got = case.system.run(used, n, **arguments)
    with fdplug.propagate(fresh, policy=UNIFORM):
        assert torch.equal(got, case.system.run(fresh, n, **arguments))


@pytest.mark.parametrize("case", one_of_a_kind(), indirect=True)
def test_another_scheduler_is_as_on_a_fresh_pipeline(case):
    """Of another class or with other settings; it is followed with a warning."""

    def other(pipe):
        known = {"timestep_spacing": "trailing", "shift": 2.0, "scaler": 0.5}
        changes = {key: value for key, value in known.items() if key in pipe.scheduler.config}
        return type(pipe.scheduler).from_config(pipe.scheduler.config, **(changes or {"solver_order": 1}))

    used, fresh = case.fresh(), case.fresh()
    with fdplug.propagate(used, policy=UNIFORM):
        case.system.run(used)
        used.scheduler = other(used)
        with pytest.warns(FdplugWarning, match="scheduler was exchanged"):
            got = case.system.run(used)
    fresh.scheduler = other(fresh)
    with fdplug.propagate(fresh, policy=UNIFORM):
        assert torch.equal(got, case.system.run(fresh))


@pytest.mark.parametrize("case", one_of_a_kind(), indirect=True)
def test_a_deep_copy_is_clean(case):
    clean = case.fresh()
    with fdplug.propagate(case.pipe, policy=UNIFORM):
        copied = case.fresh()
    assert torch.equal(case.system.run(copied), case.system.run(clean))


SAMPLERS = list(registry.entries("sampler"))
ALL_SAMPLERS = {"sd-img2img", "dit", "flux"}  # a noise-predicting U-Net, one that learns variances, a flow model
SOME_SAMPLERS = {"sdxl", "controlnet", "if-1", "animatediff", "ddpm"}
KINDS_OF_SAMPLER = {"own", "dpm-solver++", "heun"}  # one step at a time, of several steps, two calls a step


def _pairs():
    """Every sampler with every system; the default run takes every sampler, every kind of system, and some pairs."""
    for sampler in SAMPLERS:
        for name in SYSTEMS:
            taken = name in ALL_SAMPLERS or (name in SOME_SAMPLERS and sampler in KINDS_OF_SAMPLER)
            yield pytest.param(sampler, name, marks=[] if taken else [pytest.mark.slow])


@pytest.mark.parametrize(("sampler", "name"), [*_pairs()])
def test_every_sampler_that_the_pipeline_accepts(cases, name, sampler):
    """All steps key steps = the pipeline itself; parallel = serial."""
    case = cases(name)
    pipe, before = case.pipe, case.pipe.scheduler
    try:
        pipe.scheduler = _fitting(sampler, before)
        plain = _accepted(case)
        if sampler != "own" and name in OWN_SAMPLER:
            with fdplug.propagate(pipe), pytest.raises(PropagationError, match="does not follow its scheduler"):
                case.run()
            return
        with fdplug.propagate(pipe, policy="all", injector="none"):
            assert torch.equal(case.run(), plain)
        outputs = []
        for decoding in ("serial", "auto"):
            with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding):
                outputs.append(case.run())
        assert close(*outputs)
    finally:
        pipe.scheduler = before


def _fitting(sampler, scheduler):
    try:
        return registry.build("sampler", sampler).fit(scheduler)
    except ConfigError as error:
        pytest.skip(f"refused: {error}")


# Their pipelines make of the timesteps of all samplers but their own something that fdplug does not know.
OWN_SAMPLER = {"stable-cascade-prior", "stable-cascade-decoder"}


def _accepted(case):
    try:
        plain = case.run()
    except Exception as error:
        pytest.skip(f"the pipeline itself does not take this sampler: {type(error).__name__}: {error}")
    if not plain.isfinite().all():
        pytest.skip("the pipeline itself makes no finite picture with this sampler")
    return plain
