"""Variants: names, mappings, and what each is compared with."""

from __future__ import annotations

import dataclasses

import pytest

from fdplug import registry
from fdplug.commands.compare import _asked, _take_suite
from fdplug.commands.options.compare import parser
from fdplug.errors import ConfigError, UnknownPluginError
from fdplug.predict import Variant
from fdplug.predict.comparison.variant import DEFAULT_NAMES, FLOW_DEFAULT_NAMES, baseline_of, read_variants
from fdplug.schedule import Schedule


def test_names_say_sampler_steps_and_policy():
    assert Variant.from_name("dpm-solver++-20+uniform3") == Variant(
        name="dpm-solver++-20+uniform3",
        sampler="dpm-solver++",
        steps=20,
        propagation={"policy": {"uniform": {"interval": 3}}},
    )
    assert Variant.from_name("ddim-9").propagation is None


def test_the_default_uniform_variants_have_as_many_key_steps_as_the_paper_s():
    variants = {variant.name: variant for variant in read_variants(list(DEFAULT_NAMES))}
    assert len(variants) == len(DEFAULT_NAMES)
    for name, uniform in (("ddim-50+paper", "ddim-50+uniform6"), ("dpm-solver-20+paper", "dpm-solver-20+uniform3")):
        counts = []
        for variant in (variants[name], variants[uniform]):
            schedule = Schedule(timesteps=tuple(float(step) for step in range(variant.steps, 0, -1)))
            counts.append(len(registry.build("policy", variant.propagation.policy).key_steps(schedule)))
        assert counts[0] == counts[1]


def test_steps_default_to_the_sampler_s_own():
    assert Variant(name="x", sampler="dpm-solver++").resolved_steps == registry.build("sampler", "dpm-solver++").steps


def test_a_variant_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Variant(name="x").name = "y"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("ddim", ConfigError, "no variant 'ddim'; write sampler-steps"),
        ("dddim-50", UnknownPluginError, "no sampler 'dddim', did you mean 'ddim'"),
        ("ddim-50+papr", UnknownPluginError, "no policy 'papr', did you mean 'paper'"),
        ("ddim-0", ConfigError, "steps must be a whole number of at least 1, got 0"),
        ({"sampler": "ddim"}, ConfigError, "a variant needs a name"),
        ({"name": "x", "step": 3}, ConfigError, "no variant setting 'step', did you mean 'steps'"),
        ({"name": "x", "propagation": {"polcy": "all"}}, ConfigError, "'polcy', did you mean 'policy'"),
        ({"name": "x", "propagation": {"injector": {"prior": {"alpha": -1}}}}, ConfigError, "alpha"),
        (
            {"name": "x", "propagation": {"decoding": "paralel"}},
            ConfigError,
            "decoding must be one of auto",
        ),
        ({"name": "x", "propagation": {"max_span_batch": 0}}, ConfigError, "max_span_batch must be a whole number"),
        (
            {"name": "x", "propagation": {"transforms": "none"}},
            ConfigError,
            "transforms is a list",
        ),
        ({"name": "x", "propagation": "paper"}, ConfigError, "are a mapping of policy, .*; got 'paper'"),
        ({"name": "x", "guidance": -1}, ConfigError, "guidance must be a number of at least 0"),
        ({"name": "a\x1b[2J"}, ConfigError, r"a variant's name holds the control character U\+001B at position 1"),
        ({"name": "x\ud800"}, ConfigError, r"a variant's name holds the control character U\+D800"),
        ({"name": "../.."}, ConfigError, "a text with a letter or digit is needed"),
        (3, ConfigError, "a variant must be a name or a mapping, got 3"),
        ([], ConfigError, "no variants given"),
        (["ddim-9", "ddim-9"], ConfigError, "two variants are named 'ddim-9'"),
    ],
)
def test_impossible_variants_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        read_variants(given)


@pytest.mark.parametrize("name", ["../../x", "a/b", "/x", "a b", "..", "x" * 5 + "\\y"])
def test_a_name_never_leaves_the_folder(name):
    try:
        slug = Variant(name=name).slug
    except ConfigError:
        return
    assert "/" not in slug
    assert "\\" not in slug
    assert not slug.startswith(".")


def test_the_baseline_is_the_same_sampler_unaccelerated():
    other = {"name": "other", "sampler": "ddim", "steps": 50, "guidance": 1.0, "propagation": {}}
    names = ["ddim-50", "ddim-50+paper", "ddim-25", "euler-30", "heun-25+paper", "ddim-25+paper"]
    variants = read_variants([*names, other])
    baselines = [getattr(baseline_of(variant, variants), "name", None) for variant in variants]
    assert baselines == [None, "ddim-50", "ddim-50", None, None, "ddim-25", None]


def test_a_part_may_have_options():
    variant = Variant(name="x", propagation={"part": {"encoder": {"blocks": 2}}})
    assert variant.propagation.part == {"encoder": {"blocks": 2}}


@pytest.mark.parametrize("part", [3, {"a": {}, "b": {}}, {"encoder": 2}])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(ConfigError, match="part"):
        Variant(name="x", propagation={"part": part})


def test_a_mapping_of_the_earlier_form_is_refused_with_the_new_one():
    with pytest.raises(ConfigError, match=r"called 'propagation' now: {name: x, propagation: {policy: ...}}"):
        read_variants([{"name": "x", "propagate": {"policy": "paper"}}])


def test_one_variant_may_be_what_all_are_compared_with():
    variants = read_variants(["ddim-50", "ddim-50+paper", "euler-16"])
    found = [getattr(baseline_of(variant, variants, "ddim-50"), "name", None) for variant in variants]
    assert found == [None, "ddim-50", "ddim-50"]


def test_the_default_variants_fit_the_model():
    options = parser().parse_args(["--model", "shapes-flow"])
    assert [variant.name for variant in read_variants(list(_asked(options, _take_suite(options))))] == list(
        FLOW_DEFAULT_NAMES
    )
    options = parser().parse_args([])
    assert [variant.name for variant in read_variants(list(_asked(options, _take_suite(options))))] == list(
        DEFAULT_NAMES
    )
