"""Files of results, and single rows of them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from docs.building.catalogue import ROOT

RESULTS = ROOT / "benchmarks" / "results"

Value = float | tuple[float, float]
"""A figure, or a figure and its standard error."""


def results(name: str, folder: Path = RESULTS) -> Any:
    """Return a file of results, of which nobody else has hold."""
    return json.loads(_text(folder / f"{name}.json"))


@functools.cache
def _text(path: Path) -> str:
    return path.read_text()


def named(rows: Any, **wanted: Any) -> Any:
    """Return the one row that has these values.

    Raises:
        LookupError: there is none, or there are several.
    """
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of the results are {wanted}")
    return found[0]
