"""Tables of texts: comma-separated with quotes, or tab-separated without; and cells that spreadsheets do not run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from fdplug.errors.wording import shown
from fdplug.files.source import Source

Record = tuple[str, dict[str, str]]
"""A row's place in the file, and its fields by the names of the first row."""
LONGEST_FIELD = 1 << 24
RISKY = ("=", "+", "-", "@", "\t", "\r")


def read_tsv(source: Source) -> Iterator[Record]:
    """Return the rows of a tab-separated file; a quotation mark is a letter like any other.

    Raises:
        FdplugError: it cannot be read, its first row has no names, or a row has more fields than that.
    """
    lines = ((f"line {number}", line.split("\t")) for number, line in enumerate(source.lines(), 1) if line.strip())
    return _records(source, lines, "a prompt cannot hold a tab")


def read_csv(source: Source) -> Iterator[Record]:
    """Return the rows of a comma-separated file, with quotation marks around what holds a comma or a line break.

    Raises:
        FdplugError: as `read_tsv`, or quotation marks do not match.
    """
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(io.StringIO(source.text(), newline=""), strict=True)
    try:
        yield from _records(
            source, ((f"line {reader.line_num}", row) for row in reader if row), "quote what holds a comma"
        )
    except csv.Error as error:
        raise source.refused(f"line {reader.line_num} is not valid csv: {error}") from error


def _records(source: Source, rows: Iterator[tuple[str, list[str]]], advice: str) -> Iterator[Record]:
    _, names = next(rows, ("", []))
    if not any(names) or len(set(names)) < len(names):
        raise source.refused(f"the first row needs the names of the columns, each once; it is {shown(names)}")
    for place, row in rows:
        if len(row) > len(names):
            raise source.refused(f"{place} has more fields than the header, {len(row)} and not {len(names)}: {advice}")
        yield place, dict(zip(names, row, strict=False))


def safe_cell(value: object) -> object:
    """Return a cell that a spreadsheet shows and does not compute: a text that begins like a formula gets a `'`."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
