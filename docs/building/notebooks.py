"""Notebooks of tutorials, made from the same Markdown as the pages.

```bash
python -m docs.building.notebooks notebooks   # writes them into a folder
```
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.building.catalogue import ROOT
from docs.building.figures import with_figures

TUTORIALS = ("install", "first-pipeline", "worth-it")
SITE = "https://fdplug.github.io/fdplug/latest/tutorials/"
PIECE = re.compile(r"^```(python|bash)\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([\w./-]+)(#[\w-]+)?\)")


def file_of(name: str) -> str:
    """Return where the notebook of a tutorial lies on the site."""
    return f"notebooks/{name}.ipynb"


def notebook(name: str) -> str:
    """Return the notebook of a tutorial as its file holds it; what a page shows as output, running makes anew."""
    text = with_figures((ROOT / "docs" / "tutorials" / f"{name}.md").read_text())
    cells = [_cell(number, kind, source) for number, (kind, source) in enumerate(_pieces(text))]
    language = {"name": "python", "version": "3.11"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": language}
    held = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps(held, indent=1, ensure_ascii=False) + "\n"


def offer(text: str, name: str) -> str:
    """Return the page of a tutorial with a link to its notebook below the line that says how long it takes."""
    link = f"*[The same as a notebook](../{file_of(name)}).*"
    return re.sub(r"^(\*[^*\n]*minutes?[^*\n]*\*)$", rf"\1\n{link}", text, count=1, flags=re.MULTILINE)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands between the blocks, and the blocks that are run, in order."""
    end = 0
    for match in PIECE.finditer(text):
        if between := text[end : match.start()].strip():
            yield "markdown", LINK.sub(_absolute, between)
        code = match[2].rstrip("\n")
        yield "code", code if match[1] == "python" else f"%%bash\n{code}"
        end = match.end()
    if rest := text[end:].strip():
        yield "markdown", LINK.sub(_absolute, rest)


def _absolute(match: re.Match[str]) -> str:
    """Return a link to another page or picture as one to the site."""
    path = match[1].removesuffix(".md") + ("/" if match[1].endswith(".md") else "")
    return f"]({SITE}{path}{match[2] or ''})"


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": source.splitlines(True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def main() -> None:
    """Write all notebooks into the folder that is named."""
    folder = Path(sys.argv[1] if sys.argv[1:] else "notebooks")
    folder.mkdir(parents=True, exist_ok=True)
    for name in TUTORIALS:
        (folder / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")


if __name__ == "__main__":
    main()
