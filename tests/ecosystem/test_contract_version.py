"""The contract's version: who is let in, and that what was written for 1.0 goes on working."""

from __future__ import annotations

import types

import pytest
import torch

from fdplug import hookspecs, plugins, propagate, registry
from fdplug.errors import PluginError, PluginWarning, StackError
from fdplug.testing import (
    check_cache,
    check_injector,
    check_policy,
    check_propagation,
    check_sampler,
    check_transform,
    latents,
)
from tests.ecosystem import contract_1_0


@pytest.fixture
def frozen(monkeypatch):
    """The frozen plugin, loaded by a fresh manager."""
    manager = plugins.new_plugin_manager()
    manager.add(contract_1_0, "frozen", "frozen 1.0")
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: manager)
    return manager


def stating(version):
    module = types.ModuleType("stating")
    module.FDPLUG_CONTRACT = version
    return module


@pytest.mark.parametrize("version", ["1.0", None])
def test_plugins_of_this_contract_are_let_in(version):
    plugins.check_contract(stating(version) if version else types.ModuleType("silent"))


@pytest.mark.parametrize(
    ("ours", "stated", "message"),
    [
        ("1.0", "2.0", r"written for contract 2\.0, this fdplug has 1\.0: upgrade fdplug"),
        ("1.0", "1.1", r"written for contract 1\.1, this fdplug has 1\.0: upgrade fdplug"),
        ("2.3", "1.9", r"written for contract 1\.9, this fdplug has 2\.3: upgrade the plugin"),
        ("1.0", "one", "must read like '1.0', got 'one'"),
        ("1.0", 1.0, "must read like '1.0', got 1.0"),
        ("1.0", "1.0.1", "must read like '1.0', got '1.0.1'"),
    ],
)
def test_others_are_told_why_not(monkeypatch, ours, stated, message):
    monkeypatch.setattr(hookspecs, "CONTRACT", ours)
    with pytest.raises(PluginError, match=message):
        plugins.check_contract(stating(stated))


def test_an_older_minor_number_is_let_in(monkeypatch):
    monkeypatch.setattr(hookspecs, "CONTRACT", "1.4")
    plugins.check_contract(stating("1.0"))


def test_a_plugin_for_a_newer_contract_is_left_out_and_stops_nobody(tmp_path, monkeypatch):
    for name, version in (("newer", "2.0"), ("fitting", "1.0")):
        (tmp_path / f"{name}_plugin.py").write_text(f"FDPLUG_CONTRACT = {version!r}\n")
        info = tmp_path / f"fdplug_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fdplug-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fdplug]\n{name} = {name}_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FDPLUG_PLUGINS", "fdplug-newer,fdplug-fitting")
    with pytest.warns(
        PluginWarning, match=r"'newer' of fdplug-newer 1\.0 is left out: PluginError: written for contract"
    ):
        manager = plugins.new_plugin_manager()
    assert [failure.name for failure in manager.failures] == ["newer"]
    assert manager.has_plugin("fitting")


def test_the_hooks_of_1_0_are_there():
    hooks = {name for name in vars(hookspecs) if name.startswith("fdplug_")}
    assert {name for name in vars(contract_1_0) if name.startswith("fdplug_")} <= hooks


def test_the_frozen_plugin_registers_everything(frozen):
    found = {
        entry.cls.name: kind
        for kind in registry.KINDS
        for entry in registry.entries(kind).values()
        if entry.provider == "frozen 1.0"
    }
    assert found == {
        "frozen-ends": "policy",
        "frozen-alternating": "policy",
        "frozen-per-block": "policy",
        "frozen-keep": "cache",
        "frozen-little": "injector",
        "frozen-trailing": "sampler",
        "frozen-family": "family",
        "frozen-flag": "transform",
        "frozen-middle": "part",
    }
    assert not frozen.failures


@pytest.mark.parametrize("name", ["frozen-ends", "frozen-alternating", "frozen-per-block"])
def test_its_policies_keep_to_todays_checks(frozen, name):
    check_policy(registry.build("policy", name))


def test_its_other_plugins_keep_to_todays_checks(frozen):
    check_cache(registry.build("cache", "frozen-keep"))
    check_injector(registry.build("injector", "frozen-little"))
    check_sampler(registry.build("sampler", "frozen-trailing"))
    check_transform(registry.build("transform", "frozen-flag"))
    assert [part.name for part in contract_1_0.Family().parts(None)] == ["encoder"]


def test_it_runs(frozen, pipe):
    settings = {"cache": "frozen-keep", "injector": "frozen-little"}
    check_propagation(pipe, policy={"frozen-ends": {"extra": 1}}, **settings)
    pipe.scheduler = registry.build("sampler", "frozen-trailing").build(pipe.scheduler.config)
    flagged = {"part": "frozen-middle", "transforms": ["frozen-flag"]}
    with propagate(pipe, policy="frozen-alternating", **settings, **flagged) as handle:
        latents(pipe)
        assert handle.ledger.key_steps == (0, 2, 4, 6, 8)


def test_key_steps_per_module(frozen, pipe):
    with propagate(pipe, policy="frozen-per-block", part="decoder", injector="none") as handle:
        changed = latents(pipe)
        assert handle.ledger.passes("up_blocks.0") == 5
        assert handle.ledger.passes("up_blocks.1") == 1
        assert torch.equal(latents(pipe), changed)


def test_its_needs_are_heeded(frozen, pipe):
    with pytest.raises(StackError, match=r"needs 'frozen-fact', .* as the test has it"):
        propagate(pipe, part="frozen-middle")
    with pytest.raises(
        StackError, match="part 'frozen-middle' and cache 'drop' cannot be combined: as the test has it"
    ):
        propagate(pipe, part="frozen-middle", cache="drop", transforms=["frozen-flag"])
