"""One picture of many: rows are captions, columns are variants, both labelled."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP, MARGIN = 4, 8
TEXT_WIDTH, FONT_SIZE = 190, 13
SMALLEST, LARGEST = 128, 192


def side_by_side(columns: Sequence[str], rows: Sequence[str], pictures: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Lay pictures out in a labelled grid.

    Args:
        columns: one label per column.
        rows: one label per row.
        pictures: `pictures[row][column]`; small ones are enlarged without smoothing, large ones reduced.
    """
    font = ImageFont.load_default(FONT_SIZE)
    cell = _cell(pictures[0][0])
    heads = [_wrapped(label, cell, font) for label in columns]
    labels = [_wrapped(label, TEXT_WIDTH - GAP, font) for label in rows]
    head_height = max(map(_height, heads)) + GAP
    row_height = max(cell, *map(_height, labels)) + GAP
    width = MARGIN * 2 + TEXT_WIDTH + len(columns) * (cell + GAP)
    sheet = Image.new("RGB", (width, MARGIN * 2 + head_height + len(rows) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, head in enumerate(heads):
        draw.multiline_text((_x(index, cell), MARGIN), head, fill="black", font=font)
    for number, label in enumerate(labels):
        top = MARGIN + head_height + number * row_height
        draw.multiline_text((MARGIN, top), label, fill="black", font=font)
        for index, picture in enumerate(pictures[number]):
            sheet.paste(_resized(picture, cell), (_x(index, cell), top))
    return sheet


def crossed_out(side: int = SMALLEST) -> Image.Image:
    """A cross, in place of an image that could not be drawn."""
    picture = Image.new("RGB", (side, side), "lightgray")
    draw = ImageDraw.Draw(picture)
    draw.line((0, 0, side, side), fill="red", width=2)
    draw.line((0, side, side, 0), fill="red", width=2)
    return picture


def _cell(picture: Image.Image) -> int:
    side = max(picture.size)
    return min(side * max(1, SMALLEST // side), LARGEST)


def _height(text: str) -> int:
    return (text.count("\n") + 1) * (FONT_SIZE + 4)


def _x(index: int, cell: int) -> int:
    return MARGIN + TEXT_WIDTH + index * (cell + GAP)


def _resized(picture: Image.Image, cell: int) -> Image.Image:
    smooth = max(picture.size) > cell
    return picture.convert("RGB").resize((cell, cell), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Break a label so that it fits; variants' names break before `+`."""
    letters = max(4, int(width / max(font.getlength("n"), 1)))
    pieces = text.replace("+", "\n+").replace("\n+\n+", "++").split("\n")
    return "\n".join(line for piece in pieces for line in textwrap.wrap(piece, letters) or [""])
