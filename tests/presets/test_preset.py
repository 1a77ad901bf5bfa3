"""Presets: what is written is read, used exactly and undone; what does not fit is refused or said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml

import fdplug
from fdplug import samplers
from fdplug.errors import ConfigError, FdplugWarning, PropagationError
from fdplug.presets import Preset, load
from fdplug.presets.preset import FOLDER, Chosen, MadeFor, distributions, names
from fdplug.profiling.fingerprint import fingerprint
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.checks import registered
from fdplug.testing.systems import SYSTEMS

PROPAGATION = {
    "policy": {"explicit": {"steps": [0, 3, 5]}},
    "cache": {"damped": {"steps": [0, 3, 5], "shares": [0.0, 0.5, 1.0]}},
    "injector": "none",
    "part": "trunk",
}
SAMPLER = {"ddim": {"spacing": "trailing"}}


@pytest.fixture
def forecast():
    """The cache of the distribution fdplug-forecast, which tests of the package itself do not load."""
    return pytest.importorskip("fdplug_forecast").Forecast


def load_text(name):
    """What the file of a preset holds, whatever is installed."""
    held = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return {"made_for": {}, **held}


@pytest.fixture
def preset(pipe):
    return Preset(
        about="three key steps of eight",
        settings=Chosen(sampler=SAMPLER, steps=8, timesteps=8, guidance=3.0, propagation=PROPAGATION),
        made_for=MadeFor(
            pipeline="StableDiffusionPipeline", model="tiny", denoiser=fingerprint(pipe.unet), dtype="float32"
        ),
        figures={"rows": [{"psnr": 33.1, "psnr_error": 0.4}]},
        model_card="Images differ a little.",
    )


def test_what_is_written_is_read(preset, tmp_path):
    path = tmp_path / "fast.yaml"
    preset.save(path)
    assert load(path) == replace(preset, name=str(path))
    assert yaml.safe_load(path.read_text())["settings"]["propagation"]["part"] == "trunk"


def test_a_preset_does_what_its_settings_do_and_is_undone(pipe, preset, tmp_path):
    path = tmp_path / "fast.yaml"
    preset.save(path)
    own, plain = pipe.scheduler, latents(pipe)
    pipe.scheduler = samplers.Ddim(spacing="trailing").fit(own)
    with fdplug.propagate(pipe, **PROPAGATION):
        by_hand = latents(pipe, num_inference_steps=8, guidance_scale=3.0)
    pipe.scheduler = own
    with fdplug.propagate(pipe, preset=path) as on:
        assert on.arguments == {"num_inference_steps": 8, "guidance_scale": 3.0}
        assert torch.equal(latents(pipe, **on.arguments), by_hand)
        assert on.ledger.key_steps == (0, 3, 5)
    assert pipe.scheduler is own
    assert torch.equal(latents(pipe), plain)


def test_fewer_steps_alone_are_a_preset_too(pipe, preset):
    fewer = replace(preset, settings=Chosen(sampler="dpm-solver++", steps=5, timesteps=5))
    with fdplug.propagate(pipe, preset=fewer) as on:
        found = latents(pipe, **on.arguments)
    pipe.scheduler = samplers.DpmSolverPlusPlus().fit(pipe.scheduler)
    assert torch.equal(found, latents(pipe, num_inference_steps=5))


def test_another_number_of_steps_is_refused_before_an_image_is_made(pipe, preset):
    with (
        fdplug.propagate(pipe, preset=preset),
        pytest.raises(PropagationError, match="preset is for 8 denoiser calls, this run has 10; call the pipeline"),
    ):
        latents(pipe, num_inference_steps=10)


def test_a_preset_is_rescaled_where_its_policy_and_cache_can(pipe, preset):
    half = preset.rescaled(4)
    assert half.settings.propagation["policy"] == {"explicit": {"steps": [0, 1, 2]}}
    assert half.settings.propagation["cache"] == {"damped": {"steps": [0, 1, 2], "shares": [0.0, 0.5, 1.0]}}
    assert (half.evidence, half.figures) == ("unjudged", {})
    assert "rescaled from 8 to 4 steps, which was not measured" in half.about
    with fdplug.propagate(pipe, preset=half) as on:
        latents(pipe, **on.arguments)
    assert on.ledger.key_steps == (0, 1, 2)
    assert preset.rescaled(8).settings == preset.settings


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("paper", "paper"),
        ({"uniform": {"count": 9}}, {"uniform": {"count": 18}}),
        ({"uniform": {"interval": 4}}, {"uniform": {"interval": 4}}),
        ({"early": {"count": 9, "power": 1.5}}, {"early": {"count": 18, "power": 1.5}}),
    ],
)
def test_policies_say_what_they_mean_in_a_longer_run(preset, policy, expected):
    given = replace(preset, settings=replace(preset.settings, propagation={"policy": policy, "cache": "reuse"}))
    assert given.rescaled(16).settings.propagation["policy"] == expected


def test_what_cannot_be_rescaled_says_so(preset):
    window = replace(preset, settings=replace(preset.settings, propagation={"policy": "window"}))
    with pytest.raises(ConfigError, match="is for 8 steps and its policy 'window' cannot be rescaled to 16; take 8"):
        window.rescaled(16)
    heun = replace(preset, settings=replace(preset.settings, sampler="heun", timesteps=15))
    with pytest.raises(ConfigError, match="for a sampler whose calls are not its steps: optimize for 16 anew"):
        heun.rescaled(16)


def test_another_denoiser_is_refused_and_other_differences_are_said(pipe, preset):
    other = replace(preset, made_for=replace(preset.made_for, denoiser="0123"))
    with pytest.raises(ConfigError, match=r"made for another denoiser, that of 'tiny': .* run `fdplug optimize`"):
        fdplug.propagate(pipe, preset=other)
    half = replace(preset, made_for=replace(preset.made_for, dtype="float16", pipeline="OtherPipeline"))
    said = "measured with pipeline OtherPipeline, not StableDiffusionPipeline and dtype float16, not float32"
    with pytest.warns(FdplugWarning, match=said):
        fdplug.propagate(pipe, preset=half).remove()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format is 2, 1 is needed"),
        ({"settings": {"steps": 0}}, "settings.steps is 0, a whole number of at least 1"),
        ({"settings": {"stpes": 8}}, "settings.stpes is unknown here; known are sampler, steps"),
        ({"settings": {"sampler": "dmp"}}, "no sampler 'dmp'"),
        ({"settings": {"propagation": {"polcy": "paper"}}}, "no propagation setting 'polcy', did you mean 'policy'"),
        ({"evidence": "felt"}, "evidence is 'felt', measured, unjudged or published is needed"),
        ({"about": None}, "about is None, a text is needed"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_in_one_line(tmp_path, change, message):
    path = tmp_path / "fast.yaml"
    path.write_text(yaml.safe_dump({"format": 1, "about": "x", "settings": {}} | change))
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_preset_that_is_not_there_names_those_that_are():
    with pytest.raises(ConfigError, match=r"write one with `fdplug optimize .*, or name one of .*paper"):
        load("fsat.yaml")


def test_config_and_preset_exclude_each_other(pipe, preset):
    with pytest.raises(ConfigError, match="give either config or preset"):
        fdplug.propagate(pipe, fdplug.PropagationConfig(), preset=preset)


TINY = {"StableDiffusionPipeline": "sd", "StableDiffusionXLPipeline": "sdxl", "StableDiffusion3Pipeline": "sd3"}
OF_ANY_WEIGHTS = [name for name in names() if load_text(name)["made_for"].get("denoiser") is None]


@pytest.mark.parametrize("name", OF_ANY_WEIGHTS)
def test_every_preset_of_the_package_runs_on_a_pipeline_of_its_class(name, forecast):
    with registered("cache", forecast):
        held = load(name)
        assert held.evidence == "published"
        system = SYSTEMS[{**TINY, "FluxPipeline": "flux", None: "sd"}[held.made_for.pipeline]]
        pipe = system.make()
        steps = held.settings.steps or 20
        with fdplug.propagate(pipe, preset=name) as on:
            system.run(pipe, **({} if held.settings.steps else {"num_inference_steps": 20}), **on.arguments)
        assert on.ledger.num_steps == steps
        if held.settings.propagation is not None and held.settings.propagation["policy"] != "all":
            assert len(on.ledger.key_steps) < steps / 2
            words = held.model_card.split()
            assert "which" not in words or str(len(on.ledger.key_steps)) == words[words.index("which") + 1]


def test_the_presets_of_the_package_say_where_they_come_from():
    assert {"paper", "sd15-balanced", "sdxl-fast", "sd3-balanced", "flux-balanced", "flux-fast"} <= set(OF_ANY_WEIGHTS)
    for name in names():
        held = load_text(name)
        assert held["evidence"] == ("published" if name in OF_ANY_WEIGHTS else "measured")
        assert (
            held["evidence"] == "measured"
            or "not here" in held["figures"]["note"]
            or "none here" in held["figures"]["note"]
        )


def test_a_preset_says_what_to_install():
    """The tests know no plugins but the built-in ones."""
    with pytest.raises(ConfigError, match=r"no cache 'forecast'.*; pip install fdplug-forecast; write one"):
        load("flux-balanced")


def test_what_a_preset_needs_is_found(preset, forecast):
    assert distributions(preset.settings) == []
    with registered("cache", forecast):
        changed = replace(preset.settings, propagation={**PROPAGATION, "cache": "forecast"})
        assert distributions(changed) == ["a"], "the provider of what a test registers is 'a test'"


def test_the_published_settings_of_stable_diffusion_give_the_papers_key_steps(pipe):
    """Seven of twenty, as Table 1 counts them."""
    with fdplug.propagate(pipe, preset="sd15-fast") as on:
        latents(pipe, **on.arguments)
    assert on.ledger.key_steps == (0, 1, 2, 3, 5, 10, 15)
    assert on.ledger.num_steps == 20


def test_guidance_ends_with_the_first_half():
    pipe = tiny_pipeline()
    with pytest.warns(FdplugWarning, match="was measured with pipeline StableDiffusionXLPipeline"):
        on = fdplug.propagate(pipe, preset="sdxl-guidance")
    with on:
        latents(pipe, num_inference_steps=10, guidance_scale=5.0)
    assert on.ledger.rows("") == 5 * 2 + 5  # both rows for five steps, then the conditional one alone
