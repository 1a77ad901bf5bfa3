"""Images: of four formats only, of limited size, with 8 bits a channel."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

from PIL import Image

from fdplug.errors import DataError
from fdplug.files.source import Source

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PIXELS = 1 << 26
PNG = b"\x89PNG\r\n\x1a\n"
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
FRAMES = "frames"
"""The text in a PNG that says how many frames a video has: equal ones in a row are stored once."""
REMEDY = f"an image is a {', '.join(FORMATS)} file of at most {PIXELS >> 20} megapixels with 8 bits a channel"


def read_image(path: Path, what: str = "image") -> Image.Image:
    """Return an image file as RGB.

    Raises:
        DataError: it cannot be read, is of another format, or is too large.
    """
    source = Source(path, what, REMEDY, DataError)
    return decoded(source.read(), source)


def decoded(data: bytes, source: Source) -> Image.Image:
    """Return the image that the bytes of a file hold, as RGB; raise what `source` says."""
    try:
        check_png(data)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about sizes, which are checked here, and about metadata, which is not used
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > PIXELS:
                raise ValueError(f"it is {image.width} x {image.height} pixels large")
            if FRAMES in image.info:
                raise ValueError("it is a video, where one image is needed; videos are scored as they are generated")
            if image.mode not in MODES:
                raise ValueError(f"it has pixels of the kind {image.mode}")
            return image.convert("RGB")
    except Image.UnidentifiedImageError as error:
        raise source.unreadable("it is of another format, or broken") from error
    except Exception as error:  # decoders raise struct.error, zlib.error, SyntaxError, IndexError ... on broken files
        raise source.unreadable(error) from error


def check_png(data: bytes) -> None:
    """Refuse a PNG of which a byte has changed since it was written, which Pillow often shows as another picture.

    Every chunk of a PNG ends with a checksum of its kind and content. What is no PNG, and a chunk that is cut off, are
    left to who decodes it.

    Raises:
        ValueError: a checksum differs.
    """
    view, place = memoryview(data), len(PNG)
    while view[: len(PNG)] == PNG and place + 12 <= len(view):
        end = place + 8 + int.from_bytes(view[place : place + 4])
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4]) and end + 4 <= len(view):
            raise ValueError("it has changed since it was written: the checksum of a part differs")
        place = end + 4
