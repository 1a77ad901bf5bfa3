"""The table of a comparison: for the terminal, and as CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from fdplug.files.tables import safe_cell
from fdplug.files.text_tables import markdown_table, table_lines, terminal_width
from fdplug.lookup import score_numbers
from fdplug.profiling.spread import Spread
from fdplug.scores import Number
from fdplug.scores.fidelity import PSNR

Row = dict[str, Any]
Texts = dict[str, Any]
"""A table as texts: `head`, `body`, and maybe `title` and `notes`."""
NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its head.
        text: the text of a row's cell.
        key: where a row has the number.
        number: what a score says of it, if it says how good the images are.
    """

    title: str
    text: Callable[[Row], str]
    key: str
    number: Number | None = None


def _number(key: str, digits: int) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        return NOTHING if row.get(key) is None else f"{row[key]:.{digits}f}"

    return text


def score_cell(row: Row, number: Number, with_error: bool) -> str:
    """Return a number as text, maybe with its standard error; `-` if there is none, `equal` where every pixel is."""
    value = row.get(number.key)
    if value is None:
        return "equal" if number.key == PSNR and row.get("identical") else NOTHING
    return number.text(value, row.get(f"{number.key}_se") if with_error else None)


def _score(number: Number) -> Column:
    return Column(number.head, lambda row: score_cell(row, number, number.with_error), number.key, number)


def _speedup(row: Row) -> str:
    """Write the ratio, in brackets where it is within the spread of the rounds; `-` where nothing is its baseline."""
    if row.get("propagate") is not None and row.get("compared_with") is None:
        return NOTHING
    ratio = Spread.read(row, "speedup")
    text = f"{ratio.median:.2f}x"
    return f"({text})" if ratio.least < 1 < ratio.most else text


def _gflops(row: Row) -> str:
    value = row["gflops_per_image"]
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _seconds(key: str) -> Callable[[Row], str]:
    return lambda row: f"{row[key]:.3g}" if row[key] < 100 else f"{row[key]:.0f}"


def _range(key: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        spread = Spread.read(row, key)
        return f"{spread.least:.3g} to {spread.most:.3g}"

    return text


_WHAT = (
    Column("variant", lambda row: row["name"], "name"),
    Column("steps", lambda row: str(row["steps"]), "steps"),
    Column("key steps", lambda row: str(row["num_key_steps"]), "num_key_steps"),
)
_COSTS = (
    Column("GFLOPs /image", _gflops, "gflops_per_image"),
    Column("denoiser s/image", _seconds("denoiser_seconds_per_image"), "denoiser_seconds_per_image"),
    Column("total s/image", _seconds("seconds_per_image"), "seconds_per_image"),
    Column("fastest to slowest", _range("seconds_per_image"), "seconds_per_image_range"),
    Column("peak MB", _number("peak_memory_mb", 0), "peak_memory_mb"),
    Column("speed-up", _speedup, "speedup"),
)
_COST_TITLES = {column.title for column in _COSTS}


def score_columns() -> list[Column]:
    """Return the columns of all installed scores."""
    return [_score(number) for number in score_numbers().values() if number.column]


def shown(rows: list[Row]) -> list[Column]:
    """The columns that some row has a value for."""
    columns = (*_WHAT, *score_columns(), *_COSTS)
    return [column for column in columns if any(row.get(column.key) is not None for row in rows)]


def print_table(rows: list[Row], title: str, console: Console | None = None) -> None:
    """Print the table of measurements; propagated rows are bold."""
    bold = [row["propagate"] is not None for row in rows]
    _print({**texts(rows), "title": title}, console or Console(), bold)


def print_texts(table: Texts, console: Console) -> None:
    """Print a table of texts, and its notes if it has any."""
    _print(table, console, [False] * len(table["body"]))
    for note in table.get("notes", ()):
        console.print(f"- {note}", highlight=False, markup=False, style="bold" if "NOT RUN" in note else "")


def texts(rows: list[Row]) -> Texts:
    """The table of measurements as texts."""
    columns = shown(rows)
    body = [[column.text(row) for column in columns] for row in rows]
    return {"head": [column.title for column in columns], "body": body}


def _print(table: Texts, console: Console, bold: list[bool]) -> None:
    """Print as wide as the terminal, costs below the scores where they do not fit; the first column holds names."""
    if table.get("title"):
        console.print(table["title"], style="italic", markup=False, highlight=False)
    head = [one.replace(" ", "\n") for one in table["head"]]
    costs = [place for place, title in enumerate(table["head"]) if title in _COST_TITLES][:1]
    for line in table_lines(head, table["body"], terminal_width(), right=range(1, len(head)), apart=costs):
        style = "bold" if line.row is not None and bold[line.row] else ""
        console.print(line.text, style=style, markup=False, highlight=False, soft_wrap=True)


def to_markdown(table: Texts) -> str:
    """A table of texts as Markdown."""
    return f"{markdown_table(table['head'], table['body'], right=range(1, len(table['head'])))}\n"


def to_csv(rows: list[Row]) -> str:
    """Every number of every row, unrounded; lists and settings are left to the json."""
    keys = [key for key, value in rows[0].items() if not isinstance(value, (list, dict)) and key != "propagate"]
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()
