"""Tables as text: for a terminal, no wider than it is and with nothing cut off; and in Markdown."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

GAP = "  "
LEAST, LONGEST = 14, 40
"""Columns of text are wrapped down to `LEAST` letters or their longest word, if that has no more than `LONGEST`; where
that is not enough, columns go below each other."""
PIPED = 100
"""Columns where nothing says how many there are."""


class Line(NamedTuple):
    """One line of a table, and the number of the row that it belongs to; None for heads and between blocks."""

    row: int | None
    text: str


def wrapped(text: str, width: int) -> list[str]:
    """Return a sentence in lines of at most `width` letters."""
    return textwrap.wrap(text, width, break_on_hyphens=False)


def terminal_width() -> int:
    """Return how wide a table may be: as `COLUMNS` says, else as the terminal, else, for a file or a pipe, `PIPED`."""
    return shutil.get_terminal_size((PIPED, 24)).columns


def plain_table(head: Sequence[str], body: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return a table of texts, each column aligned left; see `table_lines`."""
    return "\n".join(line.text for line in table_lines(head, body, width))


def table_lines(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    width: int | None = None,
    right: Collection[int] = (),
    apart: Collection[int] = (),
) -> list[Line]:
    """Return the lines of a table.

    Where it is too wide, the widest columns of text are wrapped; where that is not enough, the columns are divided into
    blocks below each other, each with the first column again, and wrapped no more than their block needs.

    Args:
        head: the names of the columns, maybe of several lines.
        body: the rows.
        width: letters a line may have; None for any number.
        right: the columns of numbers, by their places: aligned right, and never wrapped.
        apart: the columns that begin a block, where not all columns find room beside each other.
    """
    rows = [head, *body]
    sizes = [max(len(part) for row in rows for part in row[place].split("\n")) for place in range(len(head))]
    least = [_least([row[place] for row in rows], sizes[place], place in right) for place in range(len(head))]
    found: list[Line] = []
    for block in _blocks(least, width, apart):
        if found:
            found.append(Line(None, ""))
        shrunk = _shrunk({place: sizes[place] for place in block}, least, width)
        for number, row in enumerate(rows):
            cells = [_wrapped(row[place], size) for place, size in shrunk.items()]
            for parts in _level(cells, bottom=number == 0):
                placed = zip(parts, shrunk.items(), strict=True)
                texts = [part.rjust(size) if place in right else part.ljust(size) for part, (place, size) in placed]
                found.append(Line(number - 1 if number else None, GAP.join(texts).rstrip()))
    return found


def _least(cells: Iterable[str], size: int, fixed: bool) -> int:
    """Return down to how many letters a column may be wrapped: no word is to be cut, unless it is very long."""
    words = (len(word) for cell in cells for word in cell.split())
    longest = max((length for length in words if length <= LONGEST), default=LEAST)
    return size if fixed else min(size, max(LEAST, longest))


def _shrunk(sizes: dict[int, int], least: Sequence[int], width: int | None) -> dict[int, int]:
    """Return the widths of the columns of a block, the widest ones reduced until all fit or no more can be gained."""
    shrunk = dict(sizes)
    while width is not None and _total(shrunk.values()) > width:
        wide = max(shrunk, key=lambda place: shrunk[place] - least[place])
        if shrunk[wide] <= least[wide]:
            break
        shrunk[wide] -= 1
    return shrunk


def _total(sizes: Collection[int]) -> int:
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _blocks(least: Sequence[int], width: int | None, apart: Collection[int]) -> Iterator[list[int]]:
    """Yield the places of the columns that can stand beside each other; the first column in every block."""
    block = [0]
    for place in range(1, len(least)):
        fits = width is None or _total([least[one] for one in (*block, place)]) <= width
        begins = width is not None and place in apart and _total(least) > width
        if len(block) > 1 and (begins or not fits):
            yield block
            block = [0]
        block.append(place)
    yield block


def _wrapped(cell: str, size: int) -> list[str]:
    parts = cell.split("\n")
    if all(len(part) <= size for part in parts):
        return parts
    return [line for part in parts for line in textwrap.wrap(part, size, break_on_hyphens=False)] or [""]


def _level(cells: Sequence[Sequence[str]], bottom: bool) -> Iterator[list[str]]:
    """Yield the lines of one row, cells of fewer lines filled up: those of a head from above."""
    height = max(len(cell) for cell in cells)
    for line in range(height):
        places = [line - (height - len(cell)) if bottom else line for cell in cells]
        yield [cell[place] if 0 <= place < len(cell) else "" for cell, place in zip(cells, places, strict=True)]


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return a table in Markdown.

    Args:
        head: the names of the columns.
        body: the rows.
        right: the columns of numbers, by their places.
    """
    rule = "".join("---:|" if place in right else "---|" for place in range(len(head)))
    return "\n".join([_markdown_row(head), f"|{rule}", *map(_markdown_row, body)])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
