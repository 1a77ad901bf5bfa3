"""Figures in prose, each taken from a file of results as the site is built, so that no sentence contradicts a table.

A page writes `{{ frontier psnr trunk-tuned-12 }}`: which results, what of them, and of which row, with `_` for a space.
Where a source returns numbers, it says how they are to look: `{{ curve accuracy guidance-10 DDIM-50 as .000 ±.000 }}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from docs.building.counted_figures import COUNTED
from docs.building.frontier_figures import FRONTIER
from docs.building.measured_figures import MEASURED
from docs.building.results_file import Value, named, results

PLACE = re.compile(r"\{\{ ([^}]+) \}\}")
PATTERN = re.compile(r"(0?(?:\.0+)?)(?: ±(0?(?:\.0+)?))?( ?[^\d.±]*)")


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
    rows = [named(results("tuning")["rows"], name=name) for name in (one, other)]
    first, second = (np.asarray(row["per_image"]["psnr"], dtype=float) for row in rows)
    return f"{np.mean(first - second):.1f} dB"


SOURCES: dict[str, Callable[..., str | Value]] = {
    **FRONTIER,
    **MEASURED,
    **COUNTED,
    "speed": speed,
    "memory": memory,
    "tuning": tuning,
}


def figure(words: str) -> str:
    """Return the figure that some words ask for.

    Raises:
        LookupError: there is none, or it is not said how it is to look.
    """
    asked, _, pattern = words.partition(" as ")
    source, *arguments = asked.split()
    if source not in SOURCES:
        raise LookupError(f"no results {source}; there are {', '.join(SOURCES)}")
    found = SOURCES[source](*(argument.replace("_", " ") for argument in arguments))
    if isinstance(found, str) == bool(pattern):
        raise LookupError(f"{source} {'has a form of its own' if pattern else 'needs a form, such as: as 0.0 dB'}")
    return found if isinstance(found, str) else written(found, pattern)


def written(value: Value, pattern: str) -> str:
    """Return a number as a pattern shows it.

    Args:
        value: the number, or the number and its error.
        pattern: `0`, `0.00`, or `.000` without the leading zero; behind it ` ±0.0` for the error, and a unit such as
            ` dB`. Before `%` the number is a share.

    Raises:
        LookupError: the pattern says nothing, or asks for an error that there is not.
    """
    match = PATTERN.fullmatch(pattern)
    number, error = value if isinstance(value, tuple) else (value, None)
    if not match or not match[1] or (match[2] and error is None):
        raise LookupError(f"{value} cannot be written as {pattern!r}")
    scale = 100 if "%" in match[3] else 1
    tail = f" ±{_digits(scale * error, match[2])}" if match[2] and error is not None else ""
    return f"{_digits(scale * number, match[1])}{tail}{match[3]}"


def _digits(number: float, pattern: str) -> str:
    text = f"{number:.{len(pattern.partition('.')[2])}f}"
    return text if pattern.startswith("0") else re.sub(r"^(-?)0\.", r"\1.", text)


def with_figures(text: str) -> str:
    """Return a page with its figures in place."""
    return PLACE.sub(lambda match: figure(match[1]), text)
