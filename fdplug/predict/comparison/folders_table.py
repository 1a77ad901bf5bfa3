"""The table of `fdplug evaluate`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console

from fdplug.lookup import score_numbers
from fdplug.predict.comparison.table import print_texts, score_cell
from fdplug.scores import Number
from fdplug.scores.score_set import SECONDS


def numbers() -> list[Number]:
    """Return what may be in a row, in the order of the columns: each number is followed by its change."""
    seconds = Number(SECONDS, "s/image", higher_is_better=False)
    found = [number for number in score_numbers().values() if number.column]
    return [seconds, *(one for number in found for one in (number, _change(number)))]


def _change(number: Number) -> Number:
    """Return the change of a number against the baseline, image by image; it is small, so it has a digit more."""
    return replace(number, key=f"{number.key}_change", title=f"{number.title} change", digits=number.digits + 1)


def print_table(rows: list[dict[str, Any]], console: Console) -> None:
    """Print one row per folder, with standard errors where there are some, in one piece also on a narrow terminal."""
    shown = [number for number in numbers() if any(number.key in row for row in rows)]
    head = ["images", "count", *(number.head for number in shown)]
    body = [[row["name"], str(row["count"]), *(score_cell(row, one, with_error=True) for one in shown)] for row in rows]
    print_texts({"head": head, "body": body}, console)
