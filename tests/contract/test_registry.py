"""From names to objects: specs, suggestions, clashes, and plugins that break the contract."""

from __future__ import annotations

import re
import textwrap
import types

import pluggy
import pytest

import fdplug
from fdplug import hookspecs, plugins, registry
from fdplug.caches import Reuse
from fdplug.errors import ConfigError, PluginClashError, PluginWarning, UnknownPluginError
from fdplug.policies import KeyStepPolicy, Uniform
from fdplug.testing import check_cache, check_guidance, check_injector, check_part, check_policy, check_sampler
from fdplug.testing.systems import SYSTEMS

CHECKS = {
    "policy": check_policy,
    "cache": check_cache,
    "injector": check_injector,
    "sampler": check_sampler,
    "guidance": check_guidance,
    "part": lambda rule: check_part(rule, *OTHERS.get(rule.name, ())),
}
OTHERS = {"later-blocks": (SYSTEMS["pixart"].make, SYSTEMS["pixart"].run)}
"""Parts that are not for a U-Net."""


@pytest.fixture
def manager(monkeypatch):
    """A fresh manager in place of the process's own."""
    fresh = plugins.new_plugin_manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: fresh)
    return fresh


def policy_class(label, base=KeyStepPolicy):
    class Made(base):
        """Made by a test."""

        name = label

        def key_steps(self, schedule):
            return frozenset({0})

    return Made


def plugin_with(*classes):
    class Plugin:
        @fdplug.hookimpl
        def fdplug_key_step_policies(self):
            yield from classes

    return Plugin()


@pytest.mark.parametrize(
    "spec",
    [{"uniform": {"interval": 4}}, {"name": "uniform", "interval": 4}, Uniform(interval=4)],
    ids=["short", "long", "object"],
)
def test_every_form_of_a_spec_builds_the_same(spec):
    assert registry.build("policy", spec).interval == 4


@pytest.mark.parametrize("spec", ["reuse", {"reuse": None}, {"reuse": {}}, {"name": "reuse"}])
def test_a_name_without_options(spec):
    assert isinstance(registry.build("cache", spec), Reuse)


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("policy", "papr", r"no policy 'papr', did you mean 'paper'\? Installed: all, .*explicit, non-uniform-i,"),
        ("sampler", "zzz", r"no sampler 'zzz'\. Installed: .*ddim, ddpm"),
        ("policy", {"uniform": {"interval": 2, "of": 3}}, "has no option 'of'; it has interval, count"),
        ("cache", {"reuse": {"x": 1}}, "cache 'reuse' has no option 'x'; it has no options"),
        ("policy", {"uniform": 3}, "the options of policy 'uniform' must be a mapping"),
        ("policy", {"a": {}, "b": {}}, "a policy mapping needs one key, its name"),
        ("policy", 3, "a policy must be a name, a mapping"),
        ("policy", {"uniform": {}}, "policy 'uniform': give either interval or count"),
        (
            "injector",
            {"prior": {"alpha": "much"}},
            "injector 'prior': alpha must be a number of at least 0, got 'much'",
        ),
        ("policy", {"paper": {"system": "sdxl"}}, "system must be one of sd, personalized, if-1"),
    ],
)
def test_bad_specs_say_what_is_allowed(kind, spec, message):
    with pytest.raises(ConfigError, match=message):
        registry.check(kind, spec)


def test_an_unknown_name_is_its_own_error():
    with pytest.raises(UnknownPluginError):
        registry.find("policy", "nothing")


def test_third_parties_enter_by_the_same_door(manager):
    manager.add(plugin_with(policy_class("mine")), "mine", "someone 1.0")
    assert "mine" in registry.names("policy")
    assert registry.entries("policy")["mine"].provider == "someone 1.0"
    assert registry.build("policy", "mine").key_steps(None) == {0}


def test_a_clash_names_both_providers_and_spares_the_others(manager):
    manager.add(plugin_with(policy_class("paper"), policy_class("other")), "rival", "someone 1.0")
    with pytest.raises(
        PluginClashError, match=r"'paper'.*fdplug\.policies\.paper\.Paper of fdplug .* someone 1\.0.*=rival"
    ):
        registry.build("policy", "paper")
    assert registry.build("policy", "other")
    assert registry.build("policy", "all")


def test_a_plugin_that_fails_is_left_out_with_its_name(manager):
    class Broken:
        @fdplug.hookimpl
        def fdplug_key_step_policies(self):
            raise RuntimeError("no such device")

    manager.add(Broken(), "broken", "someone 1.0")
    with pytest.warns(PluginWarning, match=r"'broken' of someone 1\.0 is left out: RuntimeError: no such device"):
        assert "paper" in registry.names("policy")
    assert [failure.name for failure in manager.failures] == ["broken"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(int, "must yield subclasses of fdplug.policies.KeyStepPolicy"), (policy_class(None), "has no `name`")],
)
def test_a_plugin_that_yields_the_wrong_thing_is_left_out(manager, wrong, message):
    manager.add(plugin_with(wrong), "wrong", "someone 1.0")
    with pytest.warns(PluginWarning, match=message):
        assert "paper" in registry.names("policy")


def test_a_misspelt_hook_is_an_error_with_a_suggestion(manager):
    class Misspelt:
        @fdplug.hookimpl
        def fdplug_key_step_policy(self):
            yield policy_class("x")

    with pytest.raises(pluggy.PluginValidationError, match="did you mean 'fdplug_key_step_policies'"):
        manager.add(Misspelt(), "misspelt", "someone 1.0")
    assert not manager.has_plugin("misspelt")


def test_a_hook_with_arguments_that_do_not_exist_is_an_error(manager):
    class Wrong:
        @fdplug.hookimpl
        def fdplug_key_step_policies(self, steps):
            yield policy_class("x")

    with pytest.raises(pluggy.PluginValidationError, match="steps"):
        manager.add(Wrong(), "wrong", "someone 1.0")
    assert not manager.has_plugin("wrong")


def test_every_kind_has_a_hook_and_every_hook_a_kind():
    hooks = {name for name in vars(hookspecs) if name.startswith("fdplug_")}
    assert hooks == {kind.hook for kind in registry.KINDS.values()}


def examples():
    """Return every plugin that the contract tells people to copy, with its hook."""
    for kind in registry.KINDS.values():
        for code in re.findall(r"```python\n(.*?)```", getattr(hookspecs, kind.hook).__doc__, re.DOTALL):
            yield pytest.param(kind, textwrap.dedent(code), id=re.search(r'name = "([\w-]+)"', code)[1])


@pytest.mark.parametrize(("kind", "code"), list(examples()))
def test_every_plugin_in_the_docstrings_of_hooks_works(manager, kind, code):
    module = types.ModuleType("copied")
    exec("from torch import cat\n" + code, module.__dict__)
    manager.add(module, "copied", "someone 1.0")
    added = [entry for entry in registry.entries(kind.word).values() if entry.provider == "someone 1.0"]
    assert len(added) == 1
    plugin = added[0].cls()
    if kind.word in CHECKS:
        CHECKS[kind.word](plugin)


def test_every_hook_has_a_plugin_to_copy():
    assert {param.values[0].hook for param in examples()} == {kind.hook for kind in registry.KINDS.values()}


def test_every_class_has_help_and_options_that_can_be_listed():
    for kind in registry.KINDS:
        for entry in registry.entries(kind).values():
            assert entry.cls.__doc__, entry.path
            registry.options(entry.cls)
