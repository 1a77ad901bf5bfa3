"""`fdplug families`: which pipelines can be accelerated. The conformance tests run every row of the table."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from fdplug.commands.parser import Parser

COLUMNS = ("system", "pipeline", "denoiser", "encoder", "decoding", "key steps")


def main(argv: list[str]) -> int:
    """Print the table."""
    parser = Parser(prog="fdplug families", description="List the pipelines that can be accelerated.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--markdown", action="store_true", help="print the table of the README")
    given = parser.parse_args(argv)
    if given.json:
        print(json.dumps(rows(), indent=2))
    else:
        print(markdown() if given.markdown else _table())
    return 0


def rows() -> list[dict[str, Any]]:
    """Return a row per system, as they were written down; `fdplug.testing.systems.table` makes them."""
    found: list[dict[str, Any]] = json.loads(files("fdplug.commands").joinpath("families.json").read_text("utf-8"))
    return found


def _cells() -> list[tuple[str, ...]]:
    found = rows()
    for row in found:
        row["encoder"] += "".join(f"; {name} replayed" for name in row["companions"])
        row["system"] += f" ({row['also']})" if row["also"] else ""
    return [COLUMNS, *(tuple(str(row[column]) for column in COLUMNS) for row in found)]


def _table() -> str:
    cells = _cells()
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def markdown() -> str:
    """Return the support table as the README shows it."""
    head, *body = ["| " + " | ".join(row) + " |" for row in _cells()]
    return "\n".join([head, "|" + "---|" * len(COLUMNS), *body])
