"""Real images to compare with: files beside the annotations, or scenes that are drawn on the fly."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np

from fdplug.errors import DataError
from fdplug.errors.wording import one_line, shown
from fdplug.files.source import is_folder
from fdplug.scores.features.images import fitted, read_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fdplug.predict.data.captions import Caption


class ReferenceImages:
    """The real images of some captions, read one by one.

    Args:
        captions: every one needs a file under `folder`, or a scene to draw.
        folder: where the `file_name`s of the annotation file lie; None draws the scenes instead.

    Raises:
        DataError: the folder or one of its files is missing, or a `file_name` leaves the folder.
    """

    def __init__(self, captions: Sequence[Caption], folder: str | Path | None = None) -> None:
        self.captions = list(captions)
        self.folder = None if folder is None else Path(folder)
        self._check()

    def __len__(self) -> int:
        return len(self.captions)

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image `index` as (H, W, 3) uint8, centre-cropped and resized (bicubic) to `size` = (height, width)."""
        caption = self.captions[index]
        return fitted(_drawn(caption) if self.folder is None else self._opened(caption, self.folder), size)

    def _opened(self, caption: Caption, folder: Path) -> np.ndarray:
        path = reference_path(folder, caption)
        try:
            return read_image(path)
        except DataError as error:
            raise DataError(f"image {caption.image_id}: {error}") from error

    def _check(self) -> None:
        if self.folder is None:
            missing = [caption for caption in self.captions if caption.scene is None]
            where = "have no 'scene' to draw. Name the folder of their image files with `images`"
        else:
            if not is_folder(self.folder):
                raise DataError(f"no image folder {shown(str(self.folder), 200)}; name a folder of images")
            missing = [caption for caption in self.captions if not reference_path(self.folder, caption).is_file()]
            where = f"have no file under {self.folder}"
        if missing:
            first = missing[0]
            raise DataError(
                f"{len(missing)} of {len(self.captions)} images {where}; the first is image {first.image_id}"
                f" ({shown(first.file_name, 80)})"
            )


def has_references(captions: Sequence[Caption], folder: str | Path | None) -> bool:
    """Whether real images were given at all."""
    return folder is not None or all(caption.scene is not None for caption in captions)


def reference_path(folder: Path, caption: Caption) -> Path:
    """Path of a real image; refused if it could leave `folder`."""
    name = caption.file_name
    if not name:
        raise DataError(f"image {caption.image_id} has no 'file_name', so {folder} cannot hold its reference image")
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.anchor or ".." in windows.parts or "\0" in name:
        raise DataError(f"image {caption.image_id}: the file_name {shown(name, 80)} leaves the image folder; refused")
    return folder / name


def _drawn(caption: Caption) -> np.ndarray:
    from fdplug.shapes.drawing import draw
    from fdplug.shapes.scene import Scene

    try:
        scene = Scene.from_dict(dict(caption.scene or {}))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ArithmeticError) as error:
        reason = one_line(error, 160)
        raise DataError(f"image {caption.image_id}: its 'scene' cannot be drawn: {reason}; correct it") from error
    return np.asarray(draw(scene), dtype=np.uint8)
