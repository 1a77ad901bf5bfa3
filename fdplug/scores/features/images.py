"""Images in files: read, cropped and resized, and whole folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image

from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files import images
from fdplug.files.images import SUFFIXES
from fdplug.files.source import is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class ImageSource(Protocol):
    """Images that are read one by one."""

    def __len__(self) -> int:
        """Return how many images there are."""
        ...

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image `index` as (H, W, 3) uint8, cropped and resized to `size` = (height, width)."""
        ...


def read_image(path: Path) -> np.ndarray:
    """An image as (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return np.asarray(images.read_image(path))


def fitted(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Pixels (H, W, 3) cropped to the middle and resized (bicubic) to `size` = (height, width), if there is one."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    height, width = size
    rows, columns = pixels.shape[:2]
    scale = min(rows / height, columns / width)
    crop_rows, crop_columns = round(height * scale), round(width * scale)
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    cropped = Image.fromarray(pixels[top : top + crop_rows, left : left + crop_columns])
    return np.asarray(cropped.resize((width, height), Image.Resampling.BICUBIC))


class ImageFolder:
    """The images of a folder, in the order of their names; hidden files do not count.

    Args:
        folder: where they are; sub-folders are not searched.

    Raises:
        DataError: there is no such folder, or no image in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not is_folder(self.folder):
            raise DataError(f"no image folder {shown(str(self.folder), 200)}; name a folder of images")
        found = (path for path in self.folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        self.paths = sorted(found)
        if not self.paths:
            raise DataError(f"the folder {self.folder} holds no images; {', '.join(SUFFIXES)} files are read")

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image `index` as (H, W, 3) uint8, cropped to the middle and resized to `size` = (height, width)."""
        return fitted(read_image(self.paths[index]), size)

    def size(self) -> tuple[int, int]:
        """Height and width of the first image."""
        height, width = read_image(self.paths[0]).shape[:2]
        return height, width


def batches(
    source: ImageSource, indices: Sequence[int], batch_size: int, size: tuple[int, int] | None = None
) -> Iterator[Tensor]:
    """Images as (N, 3, H, W) uint8, `batch_size` at a time.

    Raises:
        DataError: an image cannot be read, or is not of the size of the others in its batch.
    """
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        pixels = [source.read(index, size) for index in part]
        odd = [index for index, one in zip(part, pixels, strict=True) if one.shape != pixels[0].shape]
        if odd:
            shapes = " and ".join(f"{h}x{w}" for h, w in (pixels[0].shape[:2], source.read(odd[0], size).shape[:2]))
            raise DataError(f"images of {shapes} pixels (number {odd[0]}) cannot be batched; give a size to crop to")
        yield torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
