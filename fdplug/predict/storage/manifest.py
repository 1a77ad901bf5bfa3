"""The manifest: a line of json for every image that is done, from which an interrupted run goes on.

Every process writes its own part, an image at a time, as soon as the image has its final name. At the end the parts
become `manifest.jsonl`, in the order of ids. An image counts as done if its file is exactly the one that was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import DataError
from fdplug.files.source import MEGABYTE, Source
from fdplug.files.writing import write_bytes
from fdplug.predict.storage.coding import COPIES, SUFFIXES, decode
from fdplug.predict.storage.json_lines import JsonLines, encoded, read_json_lines

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.jsonl"
MOST = 1_000 * MEGABYTE
OK, NOT_A_NUMBER = "ok", "not a number"


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One image.

    Attributes:
        id: image id.
        caption: what was asked for.
        seed: seed of the image's own generator.
        variant: how it was generated, in short.
        status: `ok`, or `not a number`: then there is no file.
        file: path inside the folder.
        sha256: of the file, in hexadecimal.
        seconds: of the pipeline call, shared among the images of the call.
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
    status: str = OK
    file: str | None = None
    sha256: str | None = None
    seconds: float
    denoiser_seconds: float | None = None
    gflops: float | None = None
    key_steps: int | None = None
    rate: float | None = None
    stages: list[dict[str, Any]] | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells images apart."""
        return self.variant, self.id


def sha256(data: bytes) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


class ManifestPart:
    """The part of the manifest that one process writes.

    Args:
        folder: where the images are.
        rank: number of the process.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._lines = JsonLines(folder / f"manifest.rank{rank}.jsonl")

    def append(self, entry: ManifestEntry) -> None:
        """Note that an image is done."""
        self._lines.append(asdict(entry))

    def close(self) -> None:
        """Write no more."""
        self._lines.close()


def read_manifest(folder: Path) -> dict[tuple[str, int], ManifestEntry]:
    """Every image that any process said was done, by variant and id; the last word on an image counts."""
    entries = (_entry(record) for path in _files(folder) for record in read_json_lines(path))
    return {entry.key: entry for entry in entries if entry is not None}


def merge_manifest(folder: Path) -> list[ManifestEntry]:
    """Make one manifest of all parts, in the order of ids, when no process writes any more."""
    entries = sorted(read_manifest(folder).values(), key=lambda entry: (entry.id, entry.variant))
    write_bytes(b"".join(encoded(asdict(entry)) for entry in entries), folder / MANIFEST)
    for path in _files(folder)[1:]:
        path.unlink()
    return entries


def clear_manifest(folder: Path) -> None:
    """Remove the images that the manifest names, and the manifest itself; never a file that is not the one written."""
    for entry in read_manifest(folder).values():
        if (path := _inside(folder, entry.file)) is not None and _bytes(path, entry) is not None:
            for suffix in COPIES.values():
                path.with_suffix(suffix).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    for path in _files(folder):
        path.unlink(missing_ok=True)


def read_image(folder: Path, entry: ManifestEntry) -> Tensor | None:
    """The image, video or sound of an entry, or None unless its file is whole and the very one that was written."""
    path = _inside(folder, entry.file)
    data = None if path is None else _bytes(path, entry)
    return None if path is None or data is None else decode(data, Source(path, "image", "remove it"))


def _bytes(path: Path, entry: ManifestEntry) -> bytes | None:
    """The bytes of the file of an entry, or None if it is not the very one that was written."""
    try:
        data = Source(path, "image", "remove it", limit=MOST).read()
    except DataError:
        return None
    return data if sha256(data) == entry.sha256 else None


def _files(folder: Path) -> list[Path]:
    """The merged manifest first: what a part says later counts."""
    return [folder / MANIFEST, *sorted(folder.glob("manifest.rank*.jsonl"))]


def _inside(folder: Path, file: str | None) -> Path | None:
    """The path of an image; None where a tampered manifest names another kind of file, or one out of the folder."""
    if file is None or not file.endswith(SUFFIXES) or "\0" in file:
        return None
    try:
        path = (folder / file).resolve()
    except (OSError, RuntimeError):
        return None
    return folder / file if path.is_relative_to(folder.resolve()) else None


def _entry(record: dict[str, Any]) -> ManifestEntry | None:
    """An entry, or None for a line of another kind."""
    known = {field.name for field in fields(ManifestEntry)}
    try:
        entry = ManifestEntry(**{key: value for key, value in record.items() if key in known})
    except TypeError:
        return None
    wanted: Iterable[tuple[Any, Any]] = (
        (entry.id, int),
        (entry.seed, int),
        (entry.seconds, float | int),
        (entry.denoiser_seconds, float | int | None),
        (entry.caption, str),
        (entry.variant, str),
        (entry.file, str | None),
        (entry.rate, float | int | None),
        (entry.stages, list | None),
    )
    return entry if all(isinstance(value, kind) for value, kind in wanted) else None
