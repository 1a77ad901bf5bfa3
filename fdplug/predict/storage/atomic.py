"""Images as PNG files that are written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fdplug.files.writing import write_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode_png(image: Tensor | Image.Image) -> bytes:
    """Return the PNG of an image (3, H, W) uint8."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image.permute(1, 2, 0).numpy())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(image: Tensor | Image.Image, path: Path) -> None:
    """Write an image (3, H, W) uint8."""
    write_bytes(encode_png(image), path)
