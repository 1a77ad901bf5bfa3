"""Files of results, and single rows of them."""

from __future__ import annotations

import functools
import json
from typing import Any

from docs.building.catalogue import ROOT

RESULTS = ROOT / "benchmarks" / "results"


@functools.cache
def results(name: str) -> Any:
    """Return a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def named(rows: Any, **wanted: str) -> Any:
    """Return the one row that has these values.

    Raises:
        LookupError: there is none, or there are several.
    """
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of the results are {wanted}")
    return found[0]
