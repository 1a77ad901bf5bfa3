"""Figures of the frontier for prose: of a row, of two rows beside each other, and over a range of budgets."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.frontier.targets import asked
from docs.building.results_file import named, results

FIRST, FURTHER = "frontier-g7.5", "frontier-g7.5-unseen"
"""The captions by which rows were chosen, and those by which nothing was."""
DECIBELS = ("psnr", "limit")
Row = Mapping[str, Any]


def of_row(what: str, name: str, file: str = FIRST) -> str:
    """Return a figure of one row.

    Args:
        what: `psnr`, `accuracy`, `texture`, `spectra`, `limit`, with ± behind it with the error; the row's own `name`,
            its `share` of the GFLOPs, its `pace`: seconds over calls x one call; `ahead`, by how many dB it is nearer
            than the best of fewer steps; `meaning` and `kept`, its accuracy less that of the best of fewer steps by
            accuracy, and less the reference's; `texture-behind` and `spectra-behind`, likewise, of the best by each.
        name: of the row; `best-12` is the best of fewer steps with 12 calls, by PSNR, and `stock-12` the best of those
            that take all of a sampler's steps.
        file: whose figures.
    """
    held = results(file)
    row = _row(held["rows"], name)
    if what == "name":
        return row["name"]
    if what == "share":
        return f"{row['gflops'] / _row(held['rows'], held['reference'])['gflops']:.0%}"
    if what == "pace":
        reference = _row(held["rows"], held["reference"])
        return f"{row['interleaved_s'] / row['calls'] * reference['calls'] / reference['interleaved_s']:.2f}"
    if what == "ahead":
        return _difference(row["against_stock"]["psnr"], 1) + " dB"
    if what in ("meaning", "kept"):
        side = "against_stock" if what == "meaning" else "against_reference"
        return _difference(row[side]["accuracy"], 3)
    if what.endswith("-behind"):
        return _difference(row["against_stock"][what.removesuffix("-behind")], 2)
    return _score(row, what)


def _score(row: Row, what: str) -> str:
    score = what.removesuffix("±")
    one, digits, unit = row["scores"][score], 1 if score in DECIBELS else 2, " dB" if score in DECIBELS else ""
    if what == score:
        return f"{one['value']:.{digits}f}{unit}"
    digits += score == "accuracy"
    return f"{one['value']:.{digits}f} ±{one['error']:.{digits}f}{unit}"


def _difference(one: Mapping[str, float], digits: int) -> str:
    return f"{one['value']:+.{digits}f} ±{one['error']:.{digits}f}"


def _row(rows: Sequence[Row], name: str) -> Row:
    best = re.fullmatch(r"(best|stock)-(\d+)", name)
    if best:
        families = {"best": ("stock", "leaveout"), "stock": ("stock",)}[best[1]]
        fewer = [row for row in rows if row["family"] in families and row["calls"] == int(best[2])]
        return max(fewer, key=lambda row: row["scores"]["psnr"]["value"])
    return named(rows, name=name)


def lead(one: str, other: str, file: str = FIRST) -> str:
    """Return by how many dB one row is nearer than another one, on average; negative where it is farther."""
    rows = results(file)["rows"]
    first, second = (_row(rows, name)["scores"]["psnr"]["value"] for name in (one, other))
    return f"{first - second:.1f} dB"


def over(what: str, begin: str, calls: str, file: str = FIRST) -> str:
    """Return the least and the most of a figure over a range of budgets, as in 0.9 to 8.4 dB.

    Args:
        what: `ahead`, by how many dB rows are nearer than the best stock row; or `lead-ROW`, nearer than ROW-N, N their
            number of calls.
        begin: how the names of the rows begin, without the number of calls.
        calls: from how many to how few, as in 25-12.
        file: whose figures.
    """
    rows = results(file)["rows"]
    most, least = map(int, calls.split("-"))
    found = [row for row in rows if row["name"] == f"{begin}-{row['calls']}" and least <= row["calls"] <= most]
    values = sorted(_lead(row, what, rows) for row in found)
    if not values:
        raise LookupError(f"{file} has no rows {begin} with {calls} calls")
    return f"{values[0]:.1f} to {values[-1]:.1f} dB"


def _lead(row: Row, what: str, rows: Sequence[Row]) -> float:
    if what == "ahead":
        return row["against_stock"]["psnr"]["value"]
    other = _row(rows, f"{what.removeprefix('lead-')}-{row['calls']}")
    return row["scores"]["psnr"]["value"] - other["scores"]["psnr"]["value"]


def targets(file: str = FIRST) -> str:
    """Return the table of what was asked of the tuned rows, and what came."""
    return "\n".join(line for line in asked(results(file)) if line.startswith("|"))


FRONTIER: dict[str, Callable[..., str]] = {
    "frontier": of_row,
    "unseen": functools.partial(of_row, file=FURTHER),
    "lead": lead,
    "range": over,
    "asked": targets,
}
