"""Files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fdplug.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from torch import Tensor


def writable_folder(folder: Path) -> Path:
    """Make `folder` and prove that files can be written there.

    Raises:
        ConfigError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to the folder {folder}: {error.strerror or error}; name another.") from error
    return folder


def encode_png(image: Tensor | Image.Image) -> bytes:
    """The PNG of an image (3, H, W) uint8."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image.permute(1, 2, 0).numpy())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(image: Tensor | Image.Image, path: Path) -> None:
    """Write an image (3, H, W) uint8."""
    write_bytes(encode_png(image), path)


def write_text(text: str, path: Path) -> None:
    """Write a text file."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a temporary file beside `path`, then move it there; leave nothing behind if that fails.

    Raises:
        OutputError: The disk is full, or the folder cannot be written; an older file of that name is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote to `folder`."""
    for path in folder.glob(f".*{_PART}"):
        path.unlink(missing_ok=True)


_PART = ".part"
