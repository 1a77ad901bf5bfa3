"""What is written at build time is right: the page of results, the schema of configurations."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml

from docs.building import schema as schema_file
from docs.building.results_file import RESULTS
from docs.building.results_page import RUNS, facts, folded, results_page
from docs.building.schema import MODEL, schema, text
from docs.building.whole import write
from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from tests.docs.test_docs import PAGES, ROOT, fences

CONFIGS = sorted((ROOT / "fdplug" / "commands" / "configs").glob("*.yaml"))
MISSING = "jsonschema is not installed: pip install 'fdplug[notebooks]' brings it"


def test_every_table_is_on_the_page_of_results_with_its_facts():
    assert set(RUNS) == {path.stem for path in RESULTS.glob("*.md")}
    for name, run in RUNS.items():
        told = facts(name, run)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", told["date"]), name
        assert len(told["machine"]) > 5, name
        program = ROOT / re.search(r"python -m (benchmarks\.\w+)", run.command)[1].replace(".", "/")
        assert program.with_suffix(".py").exists() or (program / "__main__.py").exists(), name
        for file in re.findall(r"\[([\w.-]+)\]", told["figures"]):
            assert (RESULTS / file).exists(), file
        assert (ROOT / "docs" / run.page).exists(), name


def test_facts_are_those_of_the_raw_figures():
    held = json.loads((RESULTS / "tuning.json").read_text())
    told = facts("tuning", RUNS["tuning"])
    assert told["date"] == held["created"][:10]
    assert told["machine"].startswith(f"{held['hardware']['cpu']}, {held['hardware']['torch_threads']} thread")


def test_the_tables_are_whole():
    page = results_page()
    for line in (RESULTS / "tuning.md").read_text().splitlines():
        assert line in page
    assert "--8<--" not in page


def test_only_long_tables_are_folded():
    head, row = "| a |\n|---|\n", "| 1 |\n"
    short, long = head + row * 12, head + row * 13
    assert folded(f"before\n\n{short}\nafter") == f"before\n\n{short}\nafter"
    shown = folded(f"before\n\n{long}\nafter")
    assert shown.startswith('before\n\n??? note "13 rows"\n\n    | a |\n')
    assert shown.endswith("    | 1 |\n\nafter")


def test_every_option_of_the_model_is_in_the_schema():
    from fdplug.predict import TextToImage

    own = set(inspect.signature(TextToImage).parameters) - {"generation", "propagation"}
    assert set(MODEL) == own
    model = schema()["properties"]["model"]["properties"]
    assert set(model) == own | {"propagation"} | set(GenerationConfig.fields())
    _, propagation = model["propagation"]["oneOf"]
    assert set(propagation["properties"]) == set(PropagationConfig.fields())


def test_plugins_and_their_options_are_in_the_schema():
    model = schema()["properties"]["model"]["properties"]
    policy = model["propagation"]["oneOf"][1]["properties"]["policy"]
    name, with_options = policy["anyOf"]
    assert {"uniform", "paper"} <= set(name["examples"])
    uniform = with_options["properties"]["uniform"]["properties"]
    assert set(uniform) == set(registry.options(registry.find("policy", "uniform")))
    assert uniform["interval"]["type"] == ["integer", "null"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_ready_configurations_are_of_the_schema(path):
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed: pip install 'fdplug[notebooks]'"
    )
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(text()))


def test_what_is_wrong_is_not_of_the_schema():
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed: pip install 'fdplug[notebooks]'"
    )
    for wrong in (
        {"model": {"propagation": {"policy": {"uniform": {"intervall": 4}}}}},
        {"model": {"step": 3}},
        {"model": {"propagation": {"decoding": "often"}}},
        {"modle": {}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json.loads(text()))


def test_configurations_on_the_pages_are_of_the_schema():
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed: pip install 'fdplug[notebooks]'"
    )
    form, seen = json.loads(text()), 0
    for page in PAGES:
        for _, code in fences(page, "yaml"):
            for held in yaml.safe_load_all(code):
                if isinstance(held, dict) and set(held) <= set(form["properties"]):
                    jsonschema.validate(held, form)
                    seen += 1
    assert seen >= 3


@pytest.mark.slow
def test_the_whole_sources_need_no_hooks(tmp_path):
    """Zensical runs none; where it is installed, it builds them."""
    write(tmp_path / "whole")
    config = yaml.safe_load((tmp_path / "whole" / "mkdocs.yml").read_text())
    docs = tmp_path / "whole" / "docs"
    pages = re.findall(r"[\w/-]+\.md", json.dumps(config["nav"]))
    assert len(pages) > 100
    assert not [name for name in pages if not (docs / name).exists()]
    assert "{{ " not in (docs / "index.md").read_text()
    assert (docs / schema_file.FILE).exists()
    assert "hooks" not in config
    if find_spec("zensical") and find_spec("mkdocstrings"):
        command = [sys.executable, "-m", "zensical", "build", "-f", str(tmp_path / "whole" / "mkdocs.yml")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
