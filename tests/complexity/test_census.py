"""Every class of denoisers in diffusers is accounted for: a new version shows what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import diffusers
import pytest

from fdplug import registry
from fdplug.commands.families import classes as written
from fdplug.commands.families import classes_markdown, main
from fdplug.complexity import census
from fdplug.denoisers.transformer_table import REFUSED
from fdplug.errors import UnsupportedDenoiserError
from fdplug.lookup import find_family

ROOT = Path(__file__).parents[2]


def imported(name):
    return getattr(diffusers, name, None) or getattr(diffusers.models, name)


@pytest.mark.slow
def test_the_census_of_the_installed_diffusers_is_what_is_written():
    """A class that is neither known, proposed nor refused for a reason stops the census."""
    found = [asdict(one) for one in census.census()]
    assert found == written()["classes"], "run `python -m fdplug.complexity.census > fdplug/commands/classes.json`"


def test_the_census_is_of_the_pinned_diffusers():
    assert f"diffusers=={written()['diffusers']}" in (ROOT / "constraints.txt").read_text().split()
    models = {one["model"]: one for one in written()["classes"]}
    assert len(models) == len(written()["classes"]) >= 85
    assert all(imported(name) for name in models)


def test_what_is_known_refused_and_no_denoiser_is_so():
    of = {one["model"]: (one["standing"], one["said"]) for one in written()["classes"]}
    known = {name: said for name, (standing, said) in of.items() if standing == census.KNOWN}
    families = {name: entry.cls for name, entry in registry.entries("family").items()}
    assert set(known.values()) | {"stable-cascade-decoder"} == set(families)
    for name, family in known.items():
        assert census.family_of_class(imported(name)) == family
    for standing, reasons in ((census.REFUSAL, REFUSED), (census.ANOTHER, census.NO_DENOISERS)):
        assert {name: said for name, (word, said) in of.items() if word == standing} == reasons


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_class_is_refused_by_its_reason(name):
    stand_in = type(name, (), {})()
    with pytest.raises(UnsupportedDenoiserError, match=re.escape(f"denoiser {name}: {REFUSED[name]}")):
        find_family(SimpleNamespace(transformer=stand_in))


def test_the_page_and_the_command_show_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    page = (ROOT / "docs" / "support.md").read_text()
    shown = re.search(r"<!-- classes -->\n(.*?)\n<!-- /classes -->", page, re.DOTALL)
    assert shown[1].strip() == classes_markdown(), "run `fdplug families --classes --markdown` and paste it"
    assert main(["--classes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written()
    assert main(["--classes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(written()["classes"]) + 2
