"""The documentation is true: its Python runs, its hooks are the contract's, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fdplug import hookspecs, registry
from fdplug.cli import COMMANDS
from fdplug.stacking import FACTS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fences(page, language):
    """Code blocks of one language, each with its first line's number."""
    text = page.read_text()
    return [(text[: match.start()].count("\n") + 2, match[2]) for match in FENCE.finditer(text) if match[1] == language]


SLOW = {"adapters.md"}
WITH_PYTHON = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
    for page in PAGES
    if fences(page, "python")
]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_every_page_runs(page, tmp_path, monkeypatch):
    """Blocks of a page share one namespace, in order; errors carry the page's own line numbers."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for line, code in fences(page, "python"):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def test_every_hook_has_a_heading_with_its_exact_signature():
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE)
    hooks = [kind.hook for kind in registry.KINDS.values()]
    assert sorted(headings) == sorted(f"{hook}()" for hook in hooks)
    assert all(getattr(hookspecs, hook).__doc__ for hook in hooks)


def test_the_table_of_facts_is_what_the_code_knows():
    rows = re.findall(r"^\| `([\w:-]+)` \| (.+) \|$", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE)
    assert rows == list(FACTS.items())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page):
    shell = "\n".join(code for _, code in fences(page, "bash"))
    named = {
        *re.findall(r"`fdplug ([a-z][a-z-]+)", page.read_text()),
        *re.findall(r"^fdplug ([a-z][a-z-]+)", shell, re.M),
    }
    assert named <= set(COMMANDS), f"{page.name} names {sorted(named - set(COMMANDS))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_built_in_name_in_settings_exists(page):
    for kind in ("policy", "cache", "injector", "sampler"):
        for name in re.findall(rf"\b{kind}: ([a-z][a-z+-]*)$", page.read_text(), re.MULTILINE):
            registry.find(kind, name)
