"""Tutorials are true: their commands run, print what the page shows, and name options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from docs.building.help_page import OWN
from fdplug.cli import COMMANDS
from tests.docs.shell import blocks, masked, refreshed, run

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [*TUTORIALS, OWN, *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


def commands(page):
    """Calls of fdplug in the shell blocks of a page, as words."""
    for block in blocks(page.read_text()):
        joined = block.code.replace("\\\n", " ")
        for line in joined.splitlines():
            if line.startswith("fdplug "):
                plain = re.split(r" 2?[>|] ", line)[0]
                yield shlex.split(plain, comments=True)[1:]


@pytest.mark.slow
@pytest.mark.parametrize("page", [*TUTORIALS, OWN], ids=lambda page: page.stem)
def test_the_commands_print_what_the_page_shows(page, tmp_path):
    for block in blocks(page.read_text()):
        printed = run(block.code, tmp_path)
        if block.output is not None:
            assert masked(printed) == masked(block.output), block.code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_the_options_of_every_command_exist(page):
    for name, *words in commands(page):
        if name == "predict" or words[:1] == ["--help"] or any(word in words for word in ("...", "…")):
            continue
        COMMANDS[name].options(words)


def test_a_page_with_another_output_is_noticed(tmp_path):
    page = "```bash\necho 3 circles\n```\n\n```text\n4 circles\n```\n"
    (block,) = blocks(page)
    assert masked(run(block.code, tmp_path)) == masked(block.output)
    assert masked("3 squares\n") != masked(block.output)
    assert refreshed(page, tmp_path) == page.replace("4", "3", 1).replace("3 circles\n```\n\n", "3 circles\n```\n\n")
    with pytest.raises(AssertionError, match="ends with 3"):
        run("exit 3", tmp_path)


def test_what_depends_on_the_machine_is_left_out():
    first = "a 2 (1.04x)\n- In no more time than b, c (1 against\n2 s/image): d.\n- GFLOPs count.\nWritten to x"
    other = "a 3  0.97x\n- No un-accelerated variant takes as\nlittle time as b.\n- GFLOPs  count.\nWritten to x"
    assert masked(first) == masked(other) == ["a # #", "- GFLOPs count.", "Written to x"]
    assert masked("- b takes 2 s/image\nmore.\n\na  3\n") == ["a #"], "a note ends where a line is empty"
    assert masked("3 passed in 95.67s (0:01:35)") == masked("3 passed in 4.2s"), "a slow machine"


def test_every_tutorial_says_how_long_it_takes_and_is_in_the_navigation():
    assert len(TUTORIALS) >= 5
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in TUTORIALS:
        assert re.search(r"^\*[^*]*minutes?[^*]*\*$", page.read_text(), re.MULTILINE), page.name
        assert f"tutorials/{page.name}" in navigation
