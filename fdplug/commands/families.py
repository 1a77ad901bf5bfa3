"""`fdplug families`: which pipelines can be accelerated. The conformance suite is parametrised with this very table."""

from __future__ import annotations

import argparse
import inspect
import json
from typing import Any

from fdplug.testing.systems import SYSTEMS, System

COLUMNS = ("system", "pipeline", "denoiser", "encoder", "decoding", "key steps")


def main(argv: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="fdplug families", description="List the pipelines that can be accelerated.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--markdown", action="store_true", help="print the table of the README")
    given = parser.parse_args(argv)
    _quiet()
    if given.json:
        print(json.dumps([describe(system) for system in SYSTEMS.values()], indent=2))
    else:
        print(markdown() if given.markdown else _table())
    return 0


def _quiet() -> None:
    """Keep diffusers' notices about deprecated pipelines out of the table."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()


def describe(system: System) -> dict[str, Any]:
    """Return one row, read from the system, the pipeline it builds, and the family that knows its denoiser."""
    from fdplug.pipeline import find_family

    pipe = system.make()
    family, denoiser = find_family(pipe)
    part = family.part(denoiser, "encoder")
    return {
        "name": system.name,
        "system": system.title,
        "also": system.also,
        "pipeline": type(pipe).__name__,
        "denoiser": type(denoiser).__name__,
        "family": family.name,
        "encoder": _encoder(family),
        "companions": [one.component for one in part.companions if getattr(pipe, one.component, None) is not None],
        "decoding": "parallel or serial" if system.parallel else "serial",
        "key steps": f"paper: {{system: {system.key_set}}}",
    }


def _encoder(family: Any) -> str:
    """Return what the first sentence of the family's docstring says behind `the encoder is`."""
    sentence = " ".join((inspect.getdoc(family) or "").split("\n\n")[0].split()).removesuffix(".")
    return sentence.partition("the encoder is ")[2].partition(" (paper")[0]


def _cells() -> list[tuple[str, ...]]:
    rows = [describe(system) for system in SYSTEMS.values()]
    for row in rows:
        row["encoder"] += "".join(f"; {name} replayed" for name in row["companions"])
        row["system"] += f" ({row['also']})" if row["also"] else ""
    return [COLUMNS, *(tuple(str(row[column]) for column in COLUMNS) for row in rows)]


def _table() -> str:
    rows = _cells()
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown() -> str:
    """Return the support table as the README shows it."""
    head, *rows = ["| " + " | ".join(row) + " |" for row in _cells()]
    return "\n".join([head, "|" + "---|" * len(COLUMNS), *rows])
