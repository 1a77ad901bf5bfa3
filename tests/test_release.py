"""What a release needs agrees with the tree: versions, workflows, templates."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(workflow):
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_citation_is_of_this_version():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == settings["version"]
    assert cited["license"] == settings["license"]


def test_the_changelog_has_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in headings[:2], "below `Unreleased` at most"


def test_every_distribution_is_published():
    matrix = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())["jobs"]["publish"]["strategy"]
    folders = {f"plugins/{path.parent.name}" for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert set(matrix["matrix"]["distribution"]) == {".", *folders}


def test_workflows_run_tasks_that_exist():
    tasks = set(re.search(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text())[1].split())
    run = {words for workflow in WORKFLOWS for words in commands(workflow) if words.startswith("make ")}
    assert {"make test", "make test-slow", "make docs"} <= run
    assert {words.split()[1] for words in run} <= tasks


def test_workflows_have_few_rights_and_an_end():
    for workflow in WORKFLOWS:
        held = yaml.safe_load(workflow.read_text())
        assert held["permissions"] == {"contents": "read"}, workflow.name
        jobs = [job for job in held["jobs"].values() if any("run" in step for step in job["steps"])]
        assert all("timeout-minutes" in job for job in jobs), workflow.name


def test_reports_of_problems_ask_for_the_environment():
    templates = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(templates) == 2
    for template in templates:
        asked = [part["attributes"]["label"] for part in yaml.safe_load(template.read_text())["body"]]
        assert "What `fdplug env --markdown` prints" in asked


def test_the_oldest_python_is_one_that_is_tested():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    assert settings["requires-python"].removeprefix(">=") in tested["python"]
    assert sys.version_info >= tuple(map(int, settings["requires-python"].removeprefix(">=").split(".")))
