"""The support table says what the conformance suite covers, and a page of the site shows that table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fdplug import registry
from fdplug.commands.families import COLUMNS, main, markdown, rows
from fdplug.policies import Paper
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.table import describe
from tests.denoisers.conftest import marked


@pytest.fixture(scope="module")
def table():
    return markdown()


def test_the_page_shows_the_table(table):
    page = (Path(__file__).parents[2] / "docs" / "support.md").read_text()
    shown = re.search(r"<!-- families -->\n(.*?)\n<!-- /families -->", page, re.DOTALL)
    assert shown[1].strip() == table, "run `fdplug families --markdown` and paste it"


def test_the_readme_says_how_many_there_are():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"\n{len(SYSTEMS)} kinds of pipelines" in readme


def test_every_system_and_every_family_has_a_row(capsys):
    assert main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(SYSTEMS)
    assert {row["family"] for row in rows} == set(registry.entries("family"))
    for row in rows:
        assert row["pipeline"] == SYSTEMS[row["name"]].pipeline
        assert row["encoder"].startswith(("`", "the "))


@pytest.mark.parametrize("name", marked())
def test_the_packaged_row_is_what_the_system_says(name):
    (row,) = [row for row in rows() if row["name"] == name]
    assert row == describe(SYSTEMS[name]), "write fdplug/commands/families.json anew"


def test_the_table_is_printed_without_torch():
    code = (
        "import sys; from fdplug.cli import main; sys.argv[1:] = ['families']; main(); "
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(SYSTEMS)


def test_the_table_is_well_formed(table):
    lines = table.split("\n")
    assert len(lines) == 2 + len(SYSTEMS)
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


def test_the_named_key_sets_are_published():
    for system in SYSTEMS.values():
        Paper(system.key_set)


def test_plain_output_is_aligned(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines[0].index("pipeline")
    assert all(line[start - 1] == " " != line[start] for line in lines)
