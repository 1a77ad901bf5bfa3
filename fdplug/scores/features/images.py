"""Images and videos in files: read, cropped and resized, and whole folders of them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image

from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files import images
from fdplug.files.films import FILMS, decode_film, is_film
from fdplug.files.images import SUFFIXES
from fdplug.files.source import MEGABYTE, Source, is_folder
from fdplug.files.videos import decode_video
from fdplug.predict.storage.names import IMAGE, VIDEO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


LARGEST_FILM = 1_000 * MEGABYTE


class ImageSource(Protocol):
    """Images that are read one by one."""

    def __len__(self) -> int:
        """Return how many images there are."""
        ...

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image `index` as (H, W, 3) uint8, of a video (F, H, W, 3), cropped and resized to (height, width)."""
        ...


def read_image(path: Path) -> np.ndarray:
    """An image as (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return np.asarray(images.read_image(path))


def read_medium(path: Path) -> np.ndarray:
    """An image as (H, W, 3) uint8, or a video as (F, H, W, 3).

    Raises:
        DataError: the file cannot be read.
        ConfigError: it is a video that needs a package.
    """
    if is_film(path):
        source = Source(path, "video", "make it again, or remove it", limit=LARGEST_FILM)
        return decode_film(source.read(), source)
    if path.suffix.lower() == ".png":
        source = Source(path, "image", "make it again, or remove it", limit=LARGEST_FILM)
        video = decode_video(source.read(), source)
        if video is not None:
            return video.permute(0, 2, 3, 1).numpy()
    return read_image(path)


def fitted(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Pixels (..., H, W, 3) cropped to the middle and resized (bicubic) to (height, width), if there is one."""
    if size is None or pixels.shape[-3:-1] == size:
        return pixels
    if pixels.ndim == 4:
        return np.stack([fitted(frame, size) for frame in pixels])
    height, width = size
    rows, columns = pixels.shape[:2]
    scale = min(rows / height, columns / width)
    crop_rows, crop_columns = round(height * scale), round(width * scale)
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    cropped = Image.fromarray(pixels[top : top + crop_rows, left : left + crop_columns])
    return np.asarray(cropped.resize((width, height), Image.Resampling.BICUBIC))


class ImageFolder:
    """The images or videos of a folder, in the order of their names; hidden files do not count.

    Videos are the animated PNGs of fdplug, and films such as .mp4; one that lies beside a PNG of its name is a copy.

    Args:
        folder: where they are; sub-folders are not searched.

    Raises:
        DataError: there is no such folder, or no image in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not is_folder(self.folder):
            raise DataError(f"no image folder {shown(str(self.folder), 200)}; name a folder of images")
        shown_files = [path for path in self.folder.iterdir() if path.name[0] != "."]
        pictures = {path.stem: path for path in shown_files if path.suffix.lower() == ".png"}
        films = [path for path in shown_files if is_film(path) and path.stem not in pictures]
        self.paths = sorted([*(path for path in shown_files if path.suffix.lower() in SUFFIXES), *films])
        if not self.paths:
            known = ", ".join((*SUFFIXES, *FILMS))
            raise DataError(f"the folder {self.folder} holds no images or videos; {known} files are read")

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image or video `index` as (..., H, W, 3) uint8, cropped to the middle and resized to (height, width)."""
        return fitted(read_medium(self.paths[index]), size)

    def size(self) -> tuple[int, int]:
        """Height and width of the first image."""
        height, width = self._first.shape[-3:-1]
        return height, width

    @property
    def media(self) -> str:
        """What the folder holds, by its first file: `image` or `video`."""
        return VIDEO if self._first.ndim == 4 else IMAGE

    @cached_property
    def _first(self) -> np.ndarray:
        return read_medium(self.paths[0])


def batches(
    source: ImageSource, indices: Sequence[int], batch_size: int, size: tuple[int, int] | None = None
) -> Iterator[Tensor]:
    """Images as (N, 3, H, W) uint8, videos as (N, F, 3, H, W), `batch_size` at a time.

    Raises:
        DataError: an image cannot be read, or is not of the size of the others in its batch.
    """
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        pixels = [source.read(index, size) for index in part]
        odd = [index for index, one in zip(part, pixels, strict=True) if one.shape != pixels[0].shape]
        if odd:
            shapes = [one.shape[:-1] for one in (pixels[0], source.read(odd[0], size))]
            text = " and ".join("x".join(map(str, shape)) for shape in shapes)
            remedy = "give a size to crop to" if shapes[0][-2:] != shapes[1][-2:] else "take videos of equal length"
            raise DataError(f"images of {text} pixels (number {odd[0]}) cannot be batched; {remedy}")
        yield torch.from_numpy(np.stack(pixels)).movedim(-1, -3).contiguous()
