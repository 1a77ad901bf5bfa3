"""Pictures inside the page: as data, bounded in number and size, each stored once."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from fdplug.files.images import read_image

QUALITY = 90


@dataclass
class Album:
    """Pictures as data URIs by a short key.

    Attributes:
        side: longer pictures are reduced to this many pixels and stored as WebP of quality 90; others stay as they are.
        uris: what is in the album.
        reduced: whether any picture was reduced.
    """

    side: int
    uris: dict[str, str] = field(default_factory=dict)
    reduced: bool = False

    def add(self, key: str, path: Path) -> str:
        """Put a picture in, unless its key is taken; return the key."""
        return key if key in self.uris else self.put(key, opened(path))

    def put(self, key: str, picture: Image.Image) -> str:
        """Put a picture in that is not a file, unless its key is taken; return the key."""
        if key not in self.uris:
            small = max(picture.size) <= self.side
            self.reduced |= not small
            self.uris[key] = _lossless(picture) if small else _reduced(picture, self.side)
        return key

    @property
    def megabytes(self) -> float:
        """How much room the pictures take in the page."""
        return sum(map(len, self.uris.values())) / 1e6


def opened(path: Path) -> Image.Image:
    """Read a picture whole, as RGB.

    Raises:
        DataError: it cannot be read.
    """
    return read_image(path, "picture")


def pixels(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) numbers of 8 bits."""
    return np.asarray(opened(path))


def _lossless(picture: Image.Image) -> str:
    return _uri(picture, "PNG", "png", optimize=True)


def _reduced(picture: Image.Image, side: int) -> str:
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(smaller, "WEBP", "webp", quality=QUALITY)


def _uri(picture: Image.Image, form: str, subtype: str, **options: int | bool) -> str:
    out = io.BytesIO()
    picture.save(out, format=form, **options)
    return f"data:image/{subtype};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
