"""`fdplug families`: which pipelines can be accelerated. The conformance tests run every row of the table."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from importlib.resources import files
from typing import Any

from fdplug.commands.options.families import parser
from fdplug.files.text_tables import markdown_table, plain_table, terminal_width

COLUMNS = ("system", "pipeline", "denoiser", "encoder", "decoding", "key steps", "checks")


def main(argv: list[str]) -> int:
    """Run `fdplug families` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug families` with these options."""
    if options.json:
        print(json.dumps(rows(), indent=2))
    else:
        print(markdown() if options.markdown else _table())
    return 0


def rows() -> list[dict[str, Any]]:
    """Return a row per system, as they were written down when the conformance tests ran."""
    found: list[dict[str, Any]] = json.loads(files("fdplug.commands").joinpath("families.json").read_text("utf-8"))
    return found


def _cells() -> list[tuple[str, ...]]:
    found = rows()
    for row in found:
        row["encoder"] += "".join(f"; {name} replayed" for name in row["companions"])
        row["system"] += f" ({row['also']})" if row["also"] else ""
    return [COLUMNS, *(tuple(str(row[column]) for column in COLUMNS) for row in found)]


def _table() -> str:
    head, *body = _cells()
    return f"{plain_table(head, body, terminal_width())}\n\n{ran()}"


def markdown() -> str:
    """Return the support table, below what ran, as the site shows it."""
    head, *body = _cells()
    return f"{ran()}\n\n{markdown_table(head, body)}"


def ran() -> str:
    """Return in a sentence how many checks made the table, when, and with which versions."""
    found = rows()
    runs: Counter[tuple[str, str]] = Counter()
    for row in found:
        runs[(row["date"], row["versions"])] += row["checks"]
    said = " and ".join(f"{checks:,} checks on {date} with {with_}" for (date, with_), checks in sorted(runs.items()))
    return f"{len(found)} systems passed {said}"
