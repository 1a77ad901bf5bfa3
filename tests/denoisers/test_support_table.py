"""The support table says what the conformance suite covers, and a page of the site shows that table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from fdplug import registry
from fdplug.commands.families import COLUMNS, main, markdown, rows
from fdplug.policies import Paper
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.table import describe
from tests.denoisers import record
from tests.denoisers.conftest import marked

ROOT = Path(__file__).parents[2]
RAN = ("checks", "date", "versions")


@pytest.fixture(scope="module")
def table():
    return markdown()


def test_the_page_shows_the_table(table):
    page = (ROOT / "docs" / "support.md").read_text()
    shown = re.search(r"<!-- families -->\n(.*?)\n<!-- /families -->", page, re.DOTALL)
    assert shown[1].strip() == table, "run `fdplug families --markdown` and paste it"


def test_the_readme_says_how_many_there_are():
    readme = (ROOT / "README.md").read_text()
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
    said = {key: value for key, value in row.items() if key not in RAN}
    assert said == describe(SYSTEMS[name]), "run `python3 dev.py families`"


def test_every_row_comes_from_checks_that_ran_with_the_pinned_versions():
    pinned = (ROOT / "constraints.txt").read_text().split()
    for row in rows():
        versions = {one.replace(" ", "==") for one in row["versions"].split(", ")}
        assert versions <= set(pinned), f"{row['name']} ran with {row['versions']}: run `python3 dev.py families`"
        assert row["checks"] >= 15
        assert date.fromisoformat(row["date"]) <= date.today()
    shown = [int(one.replace(",", "")) for one in re.findall(r"([\d,]+) checks on", markdown())]
    assert sum(shown) == sum(row["checks"] for row in rows())


def test_the_table_is_printed_without_torch():
    code = (
        "import sys; from fdplug.cli import main; sys.argv[1:] = ['families']; main(); "
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    environment = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(SYSTEMS) + 2


def test_the_table_is_well_formed(table):
    lines = table.split("\n")[2:]
    assert len(lines) == 2 + len(SYSTEMS)
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


def test_the_named_key_sets_are_published():
    for system in SYSTEMS.values():
        Paper(system.key_set)


def test_plain_output_is_aligned(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines[0].index("pipeline")
    assert all(line[start - 1] == " " != line[start] for line in lines[:-2])


RESULTS = """<testsuites><testsuite timestamp="2026-11-27T12:00:00">
  <testcase name="a"><properties>{whose}</properties></testcase>
  <testcase name="b"><properties>{whose}</properties><skipped/></testcase>
  <testcase name="c"><properties>{whose}</properties>{end}</testcase>
  <testcase name="d"/>
</testsuite></testsuites>"""
WHOSE = '<property name="system" value="ddpm"/><property name="versions" value="torch 1"/>'


def test_the_table_is_written_from_what_pytest_wrote(tmp_path):
    """A system that failed keeps its old row, and so do those that did not run."""
    file = tmp_path / "results.xml"
    known = {row["name"]: row for row in rows()}
    file.write_text(RESULTS.format(whose=WHOSE, end=""))
    made = {row["name"]: row for row in record.rows(record.read(file), known)}
    ran = {"checks": 2, "date": "2026-11-27", "versions": "torch 1"}
    assert made["ddpm"] == {**describe(SYSTEMS["ddpm"]), **ran}
    assert {name: row for name, row in made.items() if name != "ddpm"} == {
        name: row for name, row in known.items() if name != "ddpm"
    }
    file.write_text(RESULTS.format(whose=WHOSE, end="<failure/>"))
    assert record.rows(record.read(file), known) == list(known.values())
    assert record.read(file)["ddpm"]["failed"] == ["c"]
