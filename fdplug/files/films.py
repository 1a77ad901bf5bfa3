"""Videos of other programs, MP4 above all: read and written by PyAV, which brings FFmpeg along."""

from __future__ import annotations

import importlib
import io
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fdplug.errors import missing_extra
from fdplug.files.videos import MOST_FRAMES, MOST_PIXELS

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.files.source import Source

MP4 = ".mp4"
FILMS = (MP4, ".webm", ".mov", ".mkv", ".avi")
"""Suffixes of the files that are read as videos."""
QUALITY = "16"
"""The constant rate factor of x264: 0 is without loss, from 18 on losses can be seen."""


def need_films(what: str) -> None:
    """Refuse what reads or writes films where PyAV is not installed.

    Raises:
        ConfigError: the message holds the line that installs it.
    """
    if find_spec("av") is None:
        raise missing_extra(what, ["av"], "video")


def encode_film(video: Tensor, rate: float) -> bytes:
    """Return the MP4 (H.264, which browsers and players know) of a video.

    Colors lose a little. H.264 knows even sizes only: the last row or column is doubled where there is an odd one.

    Args:
        video: (F, 3, H, W) uint8.
        rate: frames per second.
    """
    av = _av("writing an .mp4")
    frames = video.permute(0, 2, 3, 1).numpy()
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options={"crf": QUALITY})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        film.mux(stream.encode())
    return buffer.getvalue()


def decode_film(data: bytes, source: Source) -> np.ndarray:
    """Return the frames (F, H, W, 3) uint8 of the first video in a file.

    Raises:
        ConfigError: PyAV is not installed.
        DataError: it cannot be read, or is too large.
    """
    av = _av(f"reading {source.path.suffix} files")
    frames: list[np.ndarray] = []
    try:
        with av.open(io.BytesIO(data)) as film:
            for frame in film.decode(video=0):
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) > MOST_FRAMES or len(frames) * frame.width * frame.height > MOST_PIXELS:
                    raise ValueError(
                        f"it has more than {len(frames) - 1} frames of {frame.width} x {frame.height} pixels"
                    )
        return np.stack(frames)
    except Exception as error:  # decoders raise what they like on broken files
        raise source.unreadable(error) from error


def is_film(path: Path) -> bool:
    """Whether a file is a video of other programs, by its name."""
    return path.suffix.lower() in FILMS


def _av(what: str) -> Any:
    need_films(what)
    return importlib.import_module("av")
