"""Notebooks are made of the tutorials' own text, and run from beginning to end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from docs.building.notebooks import TUTORIALS, main, notebook, offer
from tests.docs.test_docs import ROOT, fences

PAGES = {name: ROOT / "docs" / "tutorials" / f"{name}.md" for name in TUTORIALS}
by_name = pytest.mark.parametrize("name", TUTORIALS)


@by_name
def test_a_notebook_has_every_block_that_the_page_runs_and_all_its_words(name):
    cells = json.loads(notebook(name))["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    blocks = [*fences(PAGES[name], "python"), *fences(PAGES[name], "bash")]
    wanted = {code.rstrip("\n") for _, code in blocks}
    assert {code.removeprefix("%%bash\n") for code in codes} == wanted
    words = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert words.startswith(PAGES[name].read_text().splitlines()[0])
    assert "](../" not in words, "links lead to the site"
    assert len({cell["id"] for cell in cells}) == len(cells)


@by_name
def test_the_page_offers_its_notebook(name):
    assert f"](../notebooks/{name}.ipynb)" in offer(PAGES[name].read_text(), name)


@pytest.mark.slow
@by_name
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'fdplug[notebooks]'")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'fdplug[notebooks]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install 'fdplug[notebooks]'")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", ["notebooks", str(tmp_path)])
    main()
    held = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    nbformat.validate(held)
    nbclient.NotebookClient(held, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in held.cells if cell.cell_type == "code")
