"""Every registered plugin has a page on the site, which says what its class says, with examples that hold."""

from __future__ import annotations

import inspect
import re
import shlex

import pytest

from docs.building.catalogue import FASTER_DIFFUSION, ROOT, manager, plugins
from docs.building.examples import command, settings
from docs.building.plugin_index import filled, index, navigation
from docs.building.plugin_page import page
from fdplug import registry
from fdplug.cli import COMMANDS
from fdplug.plugins import BUILT_IN
from fdplug.stacking import Stackable

PLUGINS = plugins()
FILES = {"policy:tuned", "policy:blockcache", "policy:magcache", "cache:tuned", "injector:tuned", "sampler:tuned"}
each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.fact)


def words(text):
    return re.findall(r"\w+", text)


def test_every_plugin_of_the_repository_has_a_page_of_its_own():
    registered = {f"{kind}:{name}" for kind in registry.KINDS for name in registry.entries(kind, manager())}
    assert {plugin.fact for plugin in PLUGINS} == registered
    assert len({plugin.page for plugin in PLUGINS}) == len(PLUGINS)
    assert {plugin.entry.plugin for plugin in PLUGINS} >= set(BUILT_IN)
    distributions = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert {plugin.distribution for plugin in PLUGINS} == {"fdplug", *distributions}


@each_plugin
def test_a_page_says_what_the_class_says(plugin):
    text = page(plugin)
    said = inspect.getdoc(plugin.cls)
    before = re.split(r"^(?:Args|Attributes|Raises):$", said, flags=re.MULTILINE)[0]
    assert " ".join(words(before)) in " ".join(words(text))
    for option, parameter in registry.options(plugin.cls).items() if plugin.kind != "family" else ():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{option}` |")]
        meaning = row.split(" | ")[-1]
        assert len(words(meaning)) >= 2, f"{plugin.fact}: its docstring says nothing about {option}"
        assert ("must be given" in row) == (parameter.default is parameter.empty)


@each_plugin
def test_a_page_leads_to_the_line_where_the_class_is_defined(plugin):
    file, line = plugin.source
    found = (ROOT / file).read_text().splitlines()[line - 1]
    assert plugin.cls.__name__ in found or plugin.name in found
    assert f"{file}#L{line}" in page(plugin)


@each_plugin
def test_the_command_of_a_page_can_be_given(plugin):
    name, *arguments = shlex.split(command(plugin).replace("\\\n", " "))[1:]
    COMMANDS[name].options(arguments)


@each_plugin
def test_the_settings_of_a_page_can_be_built(plugin, monkeypatch):
    if plugin.kind in ("family", "score") or plugin.fact in FILES:
        return
    made = manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: made)
    for setting, spec in settings(plugin).items():
        for one in spec if setting == "transforms" else [spec]:
            if one not in ("encoder", "trunk"):
                registry.check("transform" if setting == "transforms" else setting, one)


def test_what_a_plugin_needs_and_excludes_is_on_both_pages():
    pages = {plugin.fact: page(plugin) for plugin in PLUGINS}
    assert "needs policy [`all`](all.md)" in pages["policy:uniform"]
    assert "Transform [`paradigms`](../transform/paradigms.md) needs it" in pages["policy:all"]
    assert "Cannot be combined with transform [`paradigms`]" in pages["guidance:cached"]
    for plugin in PLUGINS:
        if issubclass(plugin.cls, Stackable):
            for reason in {**plugin.cls._says("needs"), **plugin.cls._says("excludes")}.values():
                assert reason in pages[plugin.fact]


def test_papers_are_those_that_the_classes_name():
    named = {plugin.fact: plugin.papers for plugin in PLUGINS}
    assert named["policy:paper"] == named["injector:prior"] == [FASTER_DIFFUSION]
    assert named["sampler:ddim"] == ["2010.02502"]
    assert named["part:deepcache"] == named["policy:deepcache-non-uniform"] == ["2312.00858"]
    assert named["policy:magcache"] == ["2506.09045"]
    assert named["transform:paradigms"] == ["2305.16317"]
    assert named["policy:all"] == []


def test_a_strip_shows_the_steps_that_a_plugin_chooses():
    pages = {plugin.fact: page(plugin) for plugin in PLUGINS}
    assert pages["policy:uniform"].count('class="computed"') == 13
    assert pages["policy:uniform"].count('class="replayed"') == 37
    assert pages["guidance:first"].count('class="computed"') == 25
    assert "<svg" not in pages["policy:fbcache"]


def test_the_directory_lists_all_and_the_navigation_holds_all():
    text = index()
    for plugin in PLUGINS:
        assert f"({plugin.page.removeprefix('plugins/')})" in text
    (first, *kinds) = navigation()
    placed = [page for kind in kinds for below in kind.values() for one in below for page in one.values()]
    assert placed == [plugin.page for plugin in PLUGINS]
    assert filled([{"Reference": [{"Plugins": first}]}]) == [{"Reference": [{"Plugins": navigation()}]}]
