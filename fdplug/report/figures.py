"""Figures that another command drew, as pictures inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.source import MEGABYTE, Source

LARGEST = 5 * MEGABYTE


def figures(folder: str | Path) -> list[dict[str, str]]:
    """Every SVG of a folder as `name` and `uri`; inside `<img>` no script of theirs runs.

    Raises:
        DataError: there is none, or one is too large to be embedded.
    """
    inside = Path(folder).resolve()
    paths = sorted(path for path in Path(folder).glob("*.svg") if path.resolve().is_relative_to(inside))
    if not paths:
        raise DataError(f"no figure (*.svg) in {shown(str(folder))}; name a folder that `fdplug analyze` wrote")
    return [{"name": path.stem.replace("_", " "), "uri": _uri(path)} for path in paths]


def _uri(path: Path) -> str:
    content = Source(path, "figure", "remove it, or draw it again with `fdplug analyze`", limit=LARGEST).read()
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}"
