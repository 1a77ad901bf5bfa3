"""Samplers fit the model's prediction, and place their steps as they are told."""

from __future__ import annotations

import pytest
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from fdplug import registry
from fdplug.errors import ConfigError
from fdplug.testing import check_sampler

DIFFUSION, FLOW = DDIMScheduler(), FlowMatchEulerDiscreteScheduler(shift=3.0)


@pytest.mark.parametrize("name", sorted({*registry.names("sampler")} - {"tuned"}))  # which reads a file
def test_contract(name):
    check_sampler(registry.build("sampler", name))


@pytest.mark.parametrize("name", ["ddim", "euler", "dpm-solver++", "unipc", "ays"])
def test_a_flow_model_is_refused(name):
    with pytest.raises(ConfigError, match="predicts flow; take own, flow-euler"):
        registry.build("sampler", name).fit(FLOW)


def test_own_is_what_the_pipeline_has():
    for scheduler in (DIFFUSION, FLOW):
        other = registry.build("sampler", "own").fit(scheduler)
        assert type(other) is type(scheduler)
        assert other.config == scheduler.config


@pytest.mark.parametrize("name", ["flow-euler", "flow-dpm++", "flow-unipc"])
def test_more_shift_takes_more_of_the_steps_at_high_noise(name):
    """The level u of evenly spread ones becomes s u / (1 + (s - 1) u)."""
    even = FlowMatchEulerDiscreteScheduler()
    levels = {}
    for shift in (1.0, 3.0):
        scheduler = registry.build("sampler", {name: {"shift": shift}}).fit(even)
        scheduler.set_timesteps(5)
        levels[shift] = scheduler.sigmas[:-1]
    shifted = 3 * levels[1.0] / (1 + 2 * levels[1.0])
    assert levels[3.0][1:-1].tolist() == pytest.approx(shifted[1:-1].tolist(), abs=5e-3)


def test_karras_levels_of_a_flow():
    scheduler = registry.build("sampler", {"flow-euler": {"karras": True}}).fit(FlowMatchEulerDiscreteScheduler())
    assert scheduler.config.use_karras_sigmas


def test_a_shift_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="shift must be more than 0"):
        registry.build("sampler", {"flow-euler": {"shift": 0}})
    by_size = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    for name in ("flow-euler", "flow-unipc"):
        with pytest.raises(ConfigError, match="by the image's size; leave out shift 2"):
            registry.build("sampler", {name: {"shift": 2}}).fit(by_size)


def test_flow_solvers_keep_the_shift():
    for name in ("flow-dpm++", "flow-unipc"):
        assert registry.build("sampler", name).fit(FLOW).config.flow_shift == 3.0


def test_spacing_places_the_first_step():
    first = {}
    for spacing in ("leading", "trailing"):
        scheduler = registry.build("sampler", {"ddim": {"spacing": spacing}}).fit(DIFFUSION)
        scheduler.set_timesteps(10)
        first[spacing] = int(scheduler.timesteps[0])
    assert first == {"leading": 900, "trailing": 999}


def test_karras_levels_where_they_are_known():
    assert registry.build("sampler", {"euler": {"karras": True}}).fit(DIFFUSION).config.use_karras_sigmas
    with pytest.raises(ConfigError, match="no Karras"):
        registry.build("sampler", {"ddim": {"karras": True}}).fit(DIFFUSION)


def test_ays_is_the_published_table_at_ten_steps():
    found = registry.build("sampler", "ays").arguments(10)
    assert found == {"timesteps": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]}
    assert len(registry.build("sampler", "ays").arguments(6)["timesteps"]) == 6


@pytest.mark.parametrize(
    ("solver", "scheduler", "order"),
    [
        ("dpm-solver++", "DPMSolverMultistepScheduler", 2),
        ("dpm-solver++1", "DPMSolverMultistepScheduler", 1),
        ("euler", "EulerDiscreteScheduler", None),
    ],
)
def test_ays_places_the_steps_of_any_solver_that_takes_timesteps(solver, scheduler, order):
    sampler = registry.build("sampler", {"ays": {"solver": solver}})
    fitted = sampler.fit(DIFFUSION)
    assert type(fitted).__name__ == scheduler
    assert fitted.config.get("solver_order") == order
    fitted.set_timesteps(**sampler.arguments(10))
    assert [round(float(one)) for one in fitted.timesteps] == [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]


def test_ays_is_not_for_solvers_that_make_their_own_timesteps():
    with pytest.raises(ConfigError, match="solver"):
        registry.build("sampler", {"ays": {"solver": "deis"}})
