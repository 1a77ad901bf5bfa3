"""The bar: the best of fewer steps for every number of calls, by each score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.frontier.cells import HIGHER, Record
from benchmarks.frontier.scores import Scores
from fdplug.errors import ConfigError
from fdplug.scores.uncertainty import Estimate

CONTENDERS = 2  # stock rows that are judged again on other captions, per score


def ranked(rows: Sequence[Record], family: str, calls: int, score: str) -> list[Record]:
    """Return the rows of a family and a number of calls, the best one by a score first, of equal ones the nearest.

    Rows that were not judged by the score are left out.
    """
    found = [row for row in rows if row["family"] == family and row["calls"] == calls and score in row["scores"]]
    found.sort(key=lambda row: row["scores"]["psnr"]["value"], reverse=True)
    return sorted(found, key=lambda row: row["scores"][score]["value"], reverse=HIGHER[score])


def best(rows: Sequence[Record], family: str, calls: int, score: str) -> Record | None:
    """Return the best row of a family and a number of calls by a score; None where there is none."""
    return next(iter(ranked(rows, family, calls, score)), None)


def contenders(record: Record) -> set[str]:
    """Return the names of the stock rows that are among the best two of their number of calls by any score."""
    rows = record["rows"]
    calls = {row["calls"] for row in rows}
    return {
        row["name"] for count in calls for score in HIGHER for row in ranked(rows, "stock", count, score)[:CONTENDERS]
    }


def against_stock(figure: Record, rows: Sequence[Record], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Return, per score, the best of the stock rows with as many calls, and the paired difference to it.

    Args:
        figure: of the row.
        rows: figures of all rows.
        scores: of the rows whose pictures are there; a best row that has none is left out.
    """
    found = {}
    for score in HIGHER:
        other = best(rows, "stock", figure["calls"], score)
        if other is not None and other["name"] in scores:
            difference = scores[figure["name"]].against(scores[other["name"]], score)
            found[score] = {"row": other["name"], **estimated(difference)}
    return found


def check_bar(figures: Sequence[Record], earlier: Sequence[Record]) -> None:
    """Refuse a row that is kept, and was compared with a stock row that no longer is the best one."""
    for row in earlier:
        for score, one in row["against_stock"].items():
            other = best([*figures, *earlier], "stock", row["calls"], score)
            if other is not None and other["name"] != one["row"]:
                raise ConfigError(f"{row['name']} has to be compared with {other['name']}: generate both again")


def estimated(one: Estimate) -> dict[str, float]:
    """Return an estimate as it is written."""
    return {"value": one.value, "error": one.error}
