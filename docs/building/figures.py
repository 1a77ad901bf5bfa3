"""Figures in prose, each taken from a file of results as the site is built, so that no sentence contradicts a table.

A page writes `{{ frontier psnr trunk-tuned-12 }}`: which results, what of them, and of which row.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from docs.building.frontier_figures import FRONTIER
from docs.building.results_file import named, results

PLACE = re.compile(r"\{\{ ([^}]+) \}\}")


def speed(what: str, file: str, architecture: str, method: str) -> str:
    """Return a figure of methods side by side: a `speed-up` of the networks, or the ratio of the `gflops`.

    Args:
        what: which figure.
        file: `ddim50`, `sd15` or `dit-sdxl`.
        architecture: the model, as the file calls it.
        method: the method, as the file calls it.
    """
    rows = results(f"side-by-side-{file}-256-cpu")["rows"]
    row = named(rows, architecture=architecture, method=method)
    if what == "speed-up":
        return f"{row['networks_speedup']:.2f} times"
    if what == "gflops":
        stock = named(rows, architecture=architecture, method="stock")
        return f"{stock['gflops'] / row['gflops']:.2f} times"
    raise LookupError(f"no figure {what} of speed; there are speed-up and gflops")


def memory(architecture: str, method: str) -> str:
    """Return how much more memory a method takes than the pipeline as it is.

    Args:
        architecture: the model, as the file calls it: `sd15`, `sdxl` or `controlnet`.
        method: `parallel`, `serial`, or `auto` for spans of automatic length.
    """
    name = "parallel, max_span_batch: auto" if method == "auto" else method
    row = named(results("span-memory"), architecture=architecture, method=name)
    return f"{row['over_stock']:.0%}"


def tuning(one: str, other: str) -> str:
    """Return by how much one row of the tuning is nearer than another: the mean difference, picture by picture."""
    rows = [named(results("tuning")["rows"], name=name.replace("_", " ")) for name in (one, other)]
    first, second = (np.asarray(row["per_image"]["psnr"], dtype=float) for row in rows)
    return f"{np.mean(first - second):.1f} dB"


SOURCES: dict[str, Callable[..., str]] = {
    **FRONTIER,
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
