"""Pictures inside the page: as data, bounded in number and size, each stored once."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fdplug.predict.storage.coding import is_video
from fdplug.predict.storage.preview import preview, read

if TYPE_CHECKING:
    from torch import Tensor

QUALITY = 90
MOST_FRAMES = 48
"""Frames of a video that a page shows."""


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
        if key in self.uris:
            return key
        if not is_video(made := read(path)):
            return self.put(key, preview(made))
        frames = contact_frames(made)
        self.reduced |= max(frames[0].size) > self.side
        self.uris[key] = _moving(frames, self.side)
        return key

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
    """Read a picture whole, as RGB; of a sound its wave.

    Raises:
        DataError: it cannot be read.
    """
    return preview(read(path))


def pixels(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) numbers of 8 bits."""
    return np.asarray(opened(path))


def frames(path: Path) -> list[np.ndarray]:
    """A picture, or every frame of a video, as (H, W, 3) numbers of 8 bits; of a sound the picture of its wave."""
    made = read(path)
    return [one.permute(1, 2, 0).numpy() for one in made] if is_video(made) else [np.asarray(preview(made))]


def contact_frames(video: Tensor) -> list[Image.Image]:
    """Return frames of a video, (F, 3, H, W), that is short enough for a page: all, or every n-th one."""
    stride = -(-len(video) // MOST_FRAMES)
    return [preview(frame) for frame in video[::stride]]


def _moving(pictures: list[Image.Image], side: int) -> str:
    """Return a moving WebP of pictures, reduced where they are larger."""
    for one in pictures:
        one.thumbnail((side, side), Image.Resampling.LANCZOS)
    first, *others = pictures
    options: dict[str, Any] = {"save_all": True, "append_images": others, "duration": 125, "loop": 0}
    return _uri(first, "WEBP", "webp", quality=QUALITY, **options)


def _lossless(picture: Image.Image) -> str:
    return _uri(picture, "PNG", "png", optimize=True)


def _reduced(picture: Image.Image, side: int) -> str:
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(smaller, "WEBP", "webp", quality=QUALITY)


def _uri(picture: Image.Image, form: str, subtype: str, **options: Any) -> str:
    out = io.BytesIO()
    picture.save(out, format=form, **options)
    return f"data:image/{subtype};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
