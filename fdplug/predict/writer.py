"""Write every generated image as a PNG named by its id, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from fdplug.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.module import Prediction


class ImageWriter(BasePredictionWriter):
    """Writes `<folder>/<image id, 12 digits>.png` as soon as a batch is done.

    Args:
        folder: Where the images go; made if it is missing.
    """

    def __init__(self, folder: str = "outputs/predict") -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self.written: list[Path] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before any model is loaded that the folder cannot be written."""
        super().setup(trainer, pl_module, stage)
        writable_folder(self.folder)
        self.written = []

    def write_on_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        prediction: Prediction,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch."""
        for image, caption in zip(prediction.images, prediction.captions, strict=True):
            path = self.folder / caption.output_name
            write_png(image, path)
            self.written.append(path)


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


def write_png(image: Tensor | Image.Image, path: Path) -> None:
    """Write an image (3, H, W) uint8 to a temporary file beside `path`, then move it there."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image.permute(1, 2, 0).numpy())
    replaced(path, lambda temporary: picture.save(temporary, format="PNG"))


def write_text(text: str, path: Path) -> None:
    """Write a text file, whole or not at all."""
    replaced(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def replaced(path: Path, write: Any) -> None:
    """Call `write(temporary path)` and move the result to `path`; leave nothing behind if it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
