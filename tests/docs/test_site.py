"""The site holds together: links lead somewhere, every page is in the navigation, its YAML and toml can be used."""

from __future__ import annotations

import ast
import pkgutil
import re
import tomllib

import pytest
import yaml

import fdplug
from docs.building.catalogue import called, manager, plugins
from docs.building.generated import generated
from docs.building.glossary import entries, explained
from docs.building.help_page import OWN, help_of
from docs.building.llms import llms
from docs.building.plugin_page import FACTS
from fdplug import errors, predict, registry, testing
from fdplug.cli import COMMANDS
from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from fdplug.stacking import Stackable
from tests.docs.test_docs import FENCE, ROOT, fences

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"building", "images", "shapes-curve"} & set(page.parts))
TEXTS = {**{str(page.relative_to(DOCS)): page.read_text() for page in PAGES}, **generated()}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SNIPPET = re.compile(r'^ *--8<-- "([^":]+):?(\d*):?"$', re.MULTILINE)
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))


def anchors(text):
    """What headings of a page are called in links."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


def included(match):
    """What a line of pymdownx.snippets puts into a page, from a line of the file on."""
    return "\n".join((ROOT / match[1]).read_text().splitlines()[int(match[2] or 1) - 1 :])


def broken(name, text):
    """The links of a page that lead nowhere."""
    home = (DOCS / name).parent
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = str((home / path).resolve().relative_to(DOCS.resolve())) if path else name
        known = target in TEXTS or (DOCS / target).is_file()
        if not known or (anchor and target in TEXTS and anchor not in anchors(TEXTS[target])):
            yield link


def test_every_link_leads_somewhere():
    found = {name: list(broken(name, text)) for name, text in TEXTS.items()}
    assert not {name: links for name, links in found.items() if links}


def test_a_link_that_leads_nowhere_is_noticed():
    assert list(broken("index.md", "[a](gone.md) [b](choose.md#gone) [c](choose.md#then)")) == [
        "gone.md",
        "choose.md#gone",
    ]


@by_page
def test_every_page_is_in_the_navigation(page):
    assert f" {page.relative_to(DOCS)}\n" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_page_has_one_title(name):
    text = FENCE.sub("", SNIPPET.sub(included, TEXTS[name]))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


def test_the_navigation_has_four_parts():
    parts = re.findall(r"^  - ([\w-]+):$", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2], re.MULTILINE)
    assert parts == ["Tutorials", "How-to", "Explanation", "Reference"]


USUAL = {"policy", "cache", "injector", "part", "guidance", "decoding", "transforms"}


def settings(held):
    """Every mapping of settings of `propagate` inside a document."""
    if isinstance(held, dict):
        if set(held) <= set(PropagationConfig.fields()) and USUAL & set(held):
            yield held
        for name, value in held.items():
            if name != "loading":  # its components are weights, not settings
                yield from settings(value)
    elif isinstance(held, list):
        for value in held:
            yield from settings(value)


@pytest.fixture
def all_plugins(monkeypatch):
    """Every plugin of the repository is installed."""
    made = manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: made)


@by_page
def test_the_settings_in_yaml_are_understood(page, all_plugins):
    for _, code in fences(page, "yaml"):
        for held in settings(list(yaml.safe_load_all(code))):
            PropagationConfig(**{name: spec for name, spec in held.items() if "file" not in str(spec)})


def test_settings_that_are_not_understood_are_noticed(all_plugins):
    (held,) = settings(yaml.safe_load("model:\n  propagation: {policy: {uniform: {intervall: 4}}}"))
    with pytest.raises(errors.ConfigError, match="no option 'intervall'"):
        PropagationConfig(**held)
    assert (
        len(
            [
                one
                for page in PAGES
                for _, code in fences(page, "yaml")
                for one in settings(list(yaml.safe_load_all(code)))
            ]
        )
        >= 4
    )


@by_page
def test_the_toml_can_be_read(page):
    for _, code in fences(page, "toml"):
        assert tomllib.loads(code)


def test_the_api_has_every_public_name():
    text = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    missing = [f"fdplug.{name}" for name in fdplug.__all__ if name not in ("hookimpl", "FdplugError", "FdplugWarning")]
    missing += [f"fdplug.predict.{name}" for name in predict.__all__]
    assert not [name for name in missing if f'heading: "{name}"' not in text]
    homes = {getattr(testing, name).__module__ for name in testing.__all__}
    assert not [home for home in homes if f"::: {home}\n" not in text]


def test_every_fact_that_a_plugin_names_is_explained():
    said = re.findall(r"^\| `([\w:-]+)` \|", (DOCS / "hooks.md").read_text(), re.MULTILINE)
    assert set(said) == set(FACTS)
    for plugin in (one for one in plugins() if issubclass(one.cls, Stackable)):
        for attribute in ("needs", "excludes"):
            for fact in getattr(plugin.cls, attribute, {}):
                assert fact in FACTS or called(fact), f"{plugin.fact} {attribute} {fact}"


@by_page
def test_python_that_is_not_run_can_be_read_and_imports_what_exists(page):
    """`py` marks what needs a large model or several processes."""
    for line, code in fences(page, "py"):
        for node in ast.walk(ast.parse(code, f"{page.name}:{line}")):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("fdplug", "diffusers"):
                for one in node.names:
                    pkgutil.resolve_name(f"{node.module}:{one.name}")


def test_every_fence_has_a_language_that_is_checked():
    known = {"python", "py", "bash", "sh", "yaml", "toml", "text", "json", "bibtex", ""}
    found = {(page.name, match[1]) for page in PAGES for match in FENCE.finditer(page.read_text())}
    assert not [(name, language) for name, language in found if language not in known]


def test_the_glossary_is_in_order_and_explains_the_words_of_the_design():
    words = list(entries())
    assert words == sorted(words, key=str.lower)
    assert {"span", "key step", "prior noise", "time-major", "injector", "response", "trunk"} <= set(words)
    assert "*[key steps]: A step at which the part is computed." in explained()
    assert not re.search(r"^\*\[part\]", explained(), re.MULTILINE)


def test_the_page_of_options_has_what_every_command_prints():
    text = generated()["commands.md"]
    for name in COMMANDS:
        assert f"## fdplug {name}\n\n```text\nusage: fdplug {name}" in text
    assert "--budget BUDGET" in help_of("optimize")
    sections = dict(re.findall(r"^## fdplug (\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for name in COMMANDS:
        example = sections[name].partition("\nFor example")[2]
        assert re.search(rf"^fdplug {name}\b", example, re.MULTILINE), f"add an example of fdplug {name} to {OWN.name}"
        assert "```text\n" in example
    assert "20 steps, 7 of them key steps" in sections["generate"]
    assert "--allow-pickle" in text


def test_the_page_of_settings_has_every_setting_with_its_help():
    text = generated()["configuration.md"]
    for cls in (PropagationConfig, GenerationConfig):
        for name, field in cls.fields().items():
            rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
            assert any(field.metadata["help"] in row for row in rows)
    held = yaml.safe_load(FENCE.search(text)[2])
    assert PropagationConfig(**held["model"]["propagation"]).part == "encoder"


def test_programs_are_told_what_pages_there_are():
    pages = {"index.md": "# fdplug\n\nMakes it [fast](x.md). And more.", "api/index.md": "# API\n\n*x*\n\nAll names."}
    text = llms("https://site/", pages, list(pages))
    assert "- [fdplug](https://site/): Makes it fast.\n- [API](https://site/api/): All names.\n" in text


@by_page
def test_what_the_api_describes_is_there(page):
    for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
        assert pkgutil.resolve_name(name) is not None
