"""Figures in prose, each taken from a file of results as the site is built, so that no sentence contradicts a table.

A page writes `{{ frontier psnr trunk-tuned-12 }}`: which results, what of them, and of which row.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from docs.building.catalogue import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"\{\{ ([^}]+) \}\}")


@functools.cache
def results(name: str) -> Any:
    """Return a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def frontier(what: str, name: str, file: str = "frontier-g7.5") -> str:
    """Return a figure of the frontier.

    Args:
        what: `psnr`, `accuracy`, the row's own `name`, its `share` of the GFLOPs; `ahead`, by how many dB it is nearer
            than the best of fewer steps; `meaning` and `kept`, its accuracy less that of the best of fewer steps by
            accuracy, and less the reference's.
        name: of the row; `best-12` is the best of fewer steps with 12 calls, by PSNR, and `stock-12` the best of those
            that take all of a sampler's steps.
        file: whose figures.
    """
    held = results(file)
    row = _frontier_row(held["rows"], name)
    if what == "name":
        return row["name"]
    if what == "share":
        return f"{row['gflops'] / _frontier_row(held['rows'], held['reference'])['gflops']:.0%}"
    if what == "ahead":
        return _difference(row["against_stock"]["psnr"], 1) + " dB"
    if what in ("meaning", "kept"):
        side = "against_stock" if what == "meaning" else "against_reference"
        return _difference(row[side]["accuracy"], 3)
    value, unit = row["scores"][what]["value"], " dB" if what == "psnr" else ""
    return f"{value:.1f}{unit}" if unit else f"{value:.2f}"


def _difference(one: Mapping[str, float], digits: int) -> str:
    return f"{one['value']:+.{digits}f} ±{one['error']:.{digits}f}"


def _frontier_row(rows: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    best = re.fullmatch(r"(best|stock)-(\d+)", name)
    if best:
        families = {"best": ("stock", "leaveout"), "stock": ("stock",)}[best[1]]
        fewer = [row for row in rows if row["family"] in families and row["calls"] == int(best[2])]
        return max(fewer, key=lambda row: row["scores"]["psnr"]["value"])
    return _named(rows, name=name)


def speed(what: str, file: str, architecture: str, method: str) -> str:
    """Return a figure of methods side by side: a `speed-up` of the networks, or the ratio of the `gflops`.

    Args:
        what: which figure.
        file: `ddim50`, `sd15` or `dit-sdxl`.
        architecture: the model, as the file calls it.
        method: the method, as the file calls it.
    """
    rows = results(f"side-by-side-{file}-256-cpu")["rows"]
    row = _named(rows, architecture=architecture, method=method)
    if what == "speed-up":
        return f"{row['networks_speedup']:.2f} times"
    if what == "gflops":
        stock = _named(rows, architecture=architecture, method="stock")
        return f"{stock['gflops'] / row['gflops']:.2f} times"
    raise LookupError(f"no figure {what} of speed; there are speed-up and gflops")


def memory(architecture: str, method: str) -> str:
    """Return how much more memory a method takes than the pipeline as it is.

    Args:
        architecture: the model, as the file calls it: `sd15`, `sdxl` or `controlnet`.
        method: `parallel`, `serial`, or `auto` for spans of automatic length.
    """
    name = "parallel, max_span_batch: auto" if method == "auto" else method
    row = _named(results("span-memory"), architecture=architecture, method=name)
    return f"{row['over_stock']:.0%}"


def tuning(one: str, other: str) -> str:
    """Return by how much one row of the tuning is nearer than another: the mean difference, picture by picture."""
    rows = [_named(results("tuning")["rows"], name=name.replace("_", " ")) for name in (one, other)]
    first, second = (np.asarray(row["per_image"]["psnr"], dtype=float) for row in rows)
    return f"{np.mean(first - second):.1f} dB"


def _named(rows: Any, **wanted: str) -> Mapping[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of the results are {wanted}")
    return found[0]


SOURCES: dict[str, Callable[..., str]] = {
    "frontier": frontier,
    "unseen": functools.partial(frontier, file="frontier-g7.5-unseen"),
    "speed": speed,
    "memory": memory,
    "tuning": tuning,
}


def figure(words: str) -> str:
    """Return the figure that some words ask for.

    Raises:
        LookupError: there is none.
    """
    source, *arguments = words.split()
    if source not in SOURCES:
        raise LookupError(f"no results {source}; there are {', '.join(SOURCES)}")
    return SOURCES[source](*arguments)


def with_figures(text: str) -> str:
    """Return a page with its figures in place."""
    return PLACE.sub(lambda match: figure(match[1]), text)
