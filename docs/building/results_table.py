"""Single cells of tables in Markdown, where nothing else holds what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from docs.building.results_file import Value

MEASURED = re.compile(r"\**([+-]?\d*\.?\d+)(?: ±(\d*\.?\d+))?")


def cell(file: Path, row: str, column: str) -> Value:
    """Return the figure that begins a cell of a table in Markdown, with its error where one follows.

    Args:
        file: of Markdown.
        row: its first cells, as many as tell it from the others, with commas between them.
        column: its heading.

    Raises:
        LookupError: there is no such cell, more than one, or no figure in it.
    """
    found = [cells[column] for first, cells in _rows(file) if f"{first}, ".startswith(f"{row}, ") and column in cells]
    if len(found) != 1:
        raise LookupError(f"{len(found)} cells of {file.name} are in the row {row} and the column {column}")
    measured = MEASURED.match(found[0])
    if not measured:
        raise LookupError(f"the cell {row}, {column} of {file.name} has no figure: {found[0]!r}")
    number, error = measured.groups()
    return (float(number), float(error)) if error else float(number)


def _rows(file: Path) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Yield all rows of all tables: their cells in one line, and by column."""
    heads: list[str] = []
    for line in file.read_text().splitlines():
        cells = [text.strip() for text in line.strip("|").split("|")] if line.startswith("|") else []
        if heads and cells:
            yield ", ".join(cells), dict(zip(heads, cells, strict=True))
        heads = heads if cells and heads else cells
