"""Images: of four formats only, of limited size, with 8 bits a channel."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image

from fdplug.errors import DataError
from fdplug.files.source import Source

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PIXELS = 1 << 26
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
