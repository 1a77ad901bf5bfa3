"""The image store: every generated image in a file of its own, listed in a manifest from which a killed run goes on."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from fdplug.errors import OutputError
from fdplug.errors.wording import one_line
from fdplug.files.writing import write_bytes
from fdplug.predict.storage.coding import companion, encoded
from fdplug.predict.storage.manifest import (
    NOT_A_NUMBER,
    OK,
    ManifestEntry,
    ManifestPart,
    clear_manifest,
    merge_manifest,
    read_image,
    read_manifest,
    sha256,
)
from fdplug.predict.storage.names import image_name

if TYPE_CHECKING:
    from torch import Tensor


class GeneratedImage(NamedTuple):
    """An image, what was asked for, and what it cost.

    Attributes:
        id: image id.
        caption: what was asked for.
        seed: seed of the image's own generator.
        variant: how it was generated, in short.
        image: (3, H, W) uint8, of a video (F, 3, H, W) uint8, of a sound (channels, samples) int16; None if the
            pipeline gave not-a-number.
        seconds: of the pipeline, for this image.
        denoiser_seconds: of the denoiser, likewise; None where no family knows it.
        gflops: of the denoiser, for this image; None if nothing was propagated.
        key_steps: how many; None if nothing was propagated.
        rate: frames or samples per second; None for an image.
        stages: of a cascade, what each pipeline did for this image; None for a pipeline by itself.
    """

    id: int
    caption: str
    seed: int
    variant: str
    image: Tensor | None
    seconds: float
    denoiser_seconds: float | None = None
    gflops: float | None = None
    key_steps: int | None = None
    rate: float | None = None
    stages: list[dict[str, Any]] | None = None


class ImageStore:
    """The images of a run in a folder.

    An image is read back only if its file is whole and the very one that was written; else it is to be generated again.

    Args:
        folder: where the images are.
        rank: number of the process; each writes a part of the manifest until one of them merges all parts.
        copy: the file beside a video, one of `COPIES`.
    """

    def __init__(self, folder: Path, rank: int = 0, copy: str = "gif") -> None:
        self.folder = folder
        self.copy = copy
        self._part = ManifestPart(folder, rank)

    @property
    def entries(self) -> Collection[ManifestEntry]:
        """What is known of every image that was here at first sight, or was written since."""
        return self._entries.values()

    @cached_property
    def _entries(self) -> dict[tuple[str, int], ManifestEntry]:
        return read_manifest(self.folder)

    def read(self, variant: str, image_id: int) -> GeneratedImage | None:
        """Return an image of a variant; None if it is still to be generated."""
        entry = self._entries.get((variant, image_id))
        if entry is None:
            return None
        image = read_image(self.folder, entry)
        if image is None and entry.status == OK:
            return None
        facts = {name: getattr(entry, name) for name in GeneratedImage._fields if name != "image"}
        return GeneratedImage(image=image, **facts)

    def write(self, generated: GeneratedImage, within: str = "") -> None:
        """Write an image, then list it in the manifest; one that holds not-a-number is listed and has no file.

        Args:
            generated: the image.
            within: the folder of its file inside the folder of the store.

        Raises:
            OutputError: the disk is full, or the folder cannot be written any more.
        """
        try:
            entry = self._written(generated, within)
            self._part.append(entry)
        except OutputError as error:
            raise OutputError(f"{error}; what is listed in the manifest is safe: run the same command again") from error
        self._entries[entry.key] = entry

    def _written(self, generated: GeneratedImage, within: str) -> ManifestEntry:
        facts = generated._asdict()
        image = facts.pop("image")
        if image is None:
            return ManifestEntry(status=NOT_A_NUMBER, **facts)
        suffix, data = encoded(image, generated.rate)
        file = str(PurePosixPath(within, image_name(generated.id, suffix)))
        _make_folder((self.folder / file).parent)
        also = companion(image, generated.rate, self.copy)
        if also is not None:
            write_bytes(also[1], (self.folder / file).with_suffix(also[0]))
        write_bytes(data, self.folder / file)
        return ManifestEntry(status=OK, file=file, sha256=sha256(data), **facts)

    def close(self) -> None:
        """Write no more."""
        self._part.close()

    def merge(self) -> list[ManifestEntry]:
        """Make one manifest of the parts of all processes, none of which writes any more; return it, ordered by id."""
        return merge_manifest(self.folder)

    def clear(self) -> None:
        """Remove the manifest and the images that it names; never a file that is not the one written."""
        clear_manifest(self.folder)
        self._entries.clear()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {one_line(error.strerror or error)}") from error
