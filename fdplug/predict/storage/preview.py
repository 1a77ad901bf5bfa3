"""One picture that stands for what was generated: an image itself, some frames of a video, the wave of a sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from fdplug.errors import DataError
from fdplug.files.source import Source
from fdplug.files.videos import contact_sheet
from fdplug.predict.storage.coding import SUFFIXES, decode, is_sound, is_video
from fdplug.predict.storage.manifest import MOST

if TYPE_CHECKING:
    from torch import Tensor

WAVE = (256, 96)
REMEDY = "run the command again, which generates it again"


def read(path: Path, what: str = "picture") -> Tensor:
    """Return what a file of the image store holds: an image, a video or a sound.

    Raises:
        DataError: it cannot be read.
    """
    source = Source(path, what, REMEDY, limit=MOST)
    found = decode(source.read(), source)
    if found is None:
        raise DataError(f"cannot read the {what} {source.name}: it is broken; {REMEDY}")
    return found


def preview(made: Tensor) -> Image.Image:
    """Return the picture of an image (3, H, W), of four frames of a video, or of the wave of a sound."""
    if is_sound(made):
        return _wave(made)
    return contact_sheet(made if is_video(made) else made[None])


def stored(folder: Path, stem: str) -> Path:
    """Return the file of this name, whatever was generated; that of an image where there is none."""
    files = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((file for file in files if file.is_file()), files[0])


def _wave(sound: Tensor) -> Image.Image:
    """Draw the largest and the least sample of each column."""
    width, height = WAVE
    picture = Image.new("RGB", WAVE, "white")
    draw = ImageDraw.Draw(picture)
    mean = sound.float().mean(0) / 32768
    for column in range(width):
        begin, end = (place * len(mean) // width for place in (column, column + 1))
        part = mean[begin : max(end, begin + 1)]
        if len(part):
            low, high = ((1 - float(one)) / 2 * (height - 1) for one in (part.min(), part.max()))
            draw.line((column, high, column, low), fill="black")
    return picture
