"""Arrays of `.npz` files: no pickles, and no more bytes unpacked than a file may have."""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO, Any

import numpy as np

from fdplug.files.source import MEGABYTE, Source

MOST = 1_024 * MEGABYTE
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(source: Source, most: int = MOST) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file by name.

    Args:
        source: the file.
        most: bytes of all arrays together.

    Raises:
        FdplugError: it cannot be read, is no such file, holds pickled objects, or unpacks to more than `most` bytes.
    """
    data = source.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            stated = sum(member.file_size for member in archive.infolist())
            if stated > most:
                raise ValueError(f"it unpacks to {stated // MEGABYTE:,} MB, at most {most // MEGABYTE:,} are read")
            found = {}
            for member in archive.infolist():
                with archive.open(member) as file:
                    found[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
            return found
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on broken files
        raise source.unreadable(f"no .npz of plain arrays: {error}") from error


def _array(file: IO[bytes], size: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of format {version}, known are 1.0 and 2.0")
    shape, in_columns, kind = _HEADERS[version](file)
    if kind.hasobject:
        raise ValueError("an array of pickled objects, which are not read")
    needed = math.prod(shape) * kind.itemsize
    if needed > size:
        raise ValueError(f"an array of shape {shape} needs {needed:,} bytes, {size:,} are there")
    content = file.read(needed)
    if len(content) < needed:
        raise ValueError("an array is cut off")
    return np.frombuffer(content, kind).reshape(shape, order="F" if in_columns else "C").copy()
