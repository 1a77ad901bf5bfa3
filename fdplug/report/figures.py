"""Figures that another command drew, as pictures inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

from fdplug.errors import DataError

LARGEST = 5_000_000


def figures(folder: str | Path) -> list[dict[str, str]]:
    """Every SVG of a folder as `name` and `uri`; inside `<img>` no script of theirs runs.

    Raises:
        DataError: there is none, or one is too large to be embedded.
    """
    paths = sorted(Path(folder).glob("*.svg"))
    if not paths:
        raise DataError(f"no figure (*.svg) in {folder}; name a folder that `fdplug analyze` wrote.")
    return [{"name": path.stem.replace("_", " "), "uri": _uri(path)} for path in paths]


def _uri(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise DataError(f"{path} has {len(content) / 1e6:.0f} MB, at most {LARGEST / 1e6:.0f} MB can be embedded.")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}"
