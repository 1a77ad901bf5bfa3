"""The documentation is true: its Python runs, its hooks are the contract's, its commands exist."""

from __future__ import annotations

import contextlib
import io
import math
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


PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SLOW = {"adapters.md", "first-pipeline.md"}
WITH_PYTHON = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
    for page in PAGES
    if fences(page, "python")
]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_every_page_runs(page, tmp_path, monkeypatch):
    """Blocks of a page share one namespace, in order; errors carry the page's own line numbers."""
    monkeypatch.chdir(tmp_path)
    namespace, text = {"__name__": "page"}, page.read_text()
    for match in PYTHON.finditer(text):
        before, printed = text[: match.start()].count("\n") + 1, io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * before + match["code"], str(page), "exec"), namespace)
        if match["shown"] is not None:
            assert alike(printed.getvalue(), match["shown"]), f"{page.name}:{before} prints {printed.getvalue()}"


def alike(printed, shown):
    """Whether two outputs have the same words and, within 2 %, the same numbers."""
    if [" ".join(part.split()) for part in NUMBER.split(printed)] != [
        " ".join(part.split()) for part in NUMBER.split(shown)
    ]:
        return False
    numbers = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True)
    return all(math.isclose(float(one), float(other), rel_tol=0.02) for one, other in numbers)


def test_another_output_is_noticed():
    assert alike("(0, 5)\n16.1 GFLOPs\n", "(0, 5)\n16.2 GFLOPs\n")
    assert not alike("16.1 GFLOPs\n", "17.1 GFLOPs\n")
    assert not alike("(0, 5)\n", "(0, 5, 10)\n")
    assert not alike("3 circles\n", "3 squares\n")


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
