"""`fdplug families`: which pipelines can be accelerated. The conformance tests run every row of the table."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from importlib.resources import files
from typing import Any

from fdplug.commands.options.families import parser
from fdplug.files.text_tables import markdown_table, plain_table, terminal_width, wrapped

STANDINGS = ("class", "standing", "what fdplug makes of it")
COLUMNS = ("system", "pipeline", "denoiser", "encoder", "decoding", "key steps", "checks")


def main(argv: list[str]) -> int:
    """Run `fdplug families` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug families` with these options."""
    if options.classes:
        print(_classes(options))
    elif options.json:
        print(json.dumps(rows(), indent=2))
    else:
        print(markdown() if options.markdown else _table())
    return 0


def rows() -> list[dict[str, Any]]:
    """Return a row per system, as they were written down when the conformance tests ran."""
    found: list[dict[str, Any]] = _written("families.json")
    return found


def classes() -> dict[str, Any]:
    """Return diffusers' version and the standing of each of its classes; `fdplug.complexity.census` makes them."""
    found: dict[str, Any] = _written("classes.json")
    return found


def _written(name: str) -> Any:
    return json.loads(files("fdplug.commands").joinpath(name).read_text("utf-8"))


def classes_markdown() -> str:
    """Return the table of classes, below how many of each standing there are, as the site shows it."""
    return f"{_counted()}\n\n{markdown_table(STANDINGS, _standings())}"


def _classes(options: argparse.Namespace) -> str:
    if options.json:
        return json.dumps(classes(), indent=2)
    if options.markdown:
        return classes_markdown()
    return f"{plain_table(STANDINGS, _standings(), terminal_width())}\n\n{_counted()}"


def _standings() -> list[tuple[str, ...]]:
    return [(one["model"], one["standing"], one["said"]) for one in classes()["classes"]]


def _counted() -> str:
    numbers = Counter(one["standing"] for one in classes()["classes"])
    said = ", ".join(f"{count} {word}" for word, count in numbers.most_common())
    return f"diffusers {classes()['diffusers']} has {numbers.total()} such classes: {said}"


def _cells() -> list[tuple[str, ...]]:
    found = rows()
    for row in found:
        row["encoder"] += "".join(f"; {name} replayed" for name in row["companions"])
        row["system"] += f" ({row['also']})" if row["also"] else ""
    return [COLUMNS, *(tuple(str(row[column]) for column in COLUMNS) for row in found)]


def _table() -> str:
    head, *body = _cells()
    return "\n".join([plain_table(head, body, terminal_width()), "", *wrapped(ran(), terminal_width())])


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
