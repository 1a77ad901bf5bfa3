"""What `fdplug compare` left in a folder, read back and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.checksum import check_checksum
from fdplug.files.json_text import read_json
from fdplug.files.schema import check
from fdplug.files.source import Source
from fdplug.predict.comparison.variant import folder_name
from fdplug.predict.storage.preview import stored
from fdplug.report import forms

RESULTS = "results.json"
REMEDY = "name a folder that `fdplug compare --out` of this version wrote"


@dataclass(frozen=True)
class Compared:
    """A finished comparison.

    Attributes:
        folder: where it lies.
        results: what `results.json` holds.
        digest: SHA-256 of that file, hexadecimal.
    """

    folder: Path
    results: dict[str, Any]
    digest: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping per variant."""
        return self.results["variants"]

    @property
    def captions(self) -> list[str]:
        """The captions, in the order of `image_ids`."""
        return self.results["captions"]

    @property
    def image_ids(self) -> list[int]:
        """The ids of the images, that every variant has."""
        return self.results["settings"]["image_ids"]

    def row(self, name: str) -> dict[str, Any]:
        """The row of a variant."""
        return next(row for row in self.rows if row["name"] == name)

    def picture(self, name: str, index: int) -> Path:
        """Where the image of variant `name` for caption `index` is; never outside of the folder, whatever the name.

        Raises:
            DataError: there is no such caption.
        """
        if not 0 <= index < len(self.image_ids):
            raise DataError(f"{self.folder} has {len(self.image_ids)} captions, but not number {index}")
        return stored(self.folder / "images" / folder_name(name), f"{self.image_ids[index]:012d}")

    def generated(self, name: str, index: int) -> bool:
        """Whether that picture is there: one that held not-a-number is not written."""
        return self.picture(name, index).is_file()

    def both(self, row: dict[str, Any], index: int) -> bool:
        """Whether a row's picture and that of the one it is compared with are there."""
        return self.generated(row["name"], index) and self.generated(row["compared_with"], index)


def read(folder: str | Path) -> Compared:
    """Read a folder that `fdplug compare` wrote.

    Raises:
        DataError: it holds no comparison, or one that is not as it should be.
    """
    source = Source(Path(folder) / RESULTS, "comparison", REMEDY)
    content = source.read()
    results = check(source, forms.results(), read_json(source))
    _check(source, results)
    return Compared(Path(folder), results, hashlib.sha256(content).hexdigest())


def _check(source: Source, results: dict[str, Any]) -> None:
    """Refuse what no comparison writes though every value has the right form."""
    check_checksum(source, results)
    ids, captions, rows = results["settings"]["image_ids"], results["captions"], results["variants"]
    names = [row["name"] for row in rows]
    folders = [folder_name(name).lower() for name in names]
    if len(ids) != len(captions) or len(set(ids)) < len(ids):
        raise source.refused(f"it has {len(set(ids))} different image ids and {len(captions)} captions")
    if not all(folders) or len(set(folders)) < len(folders):
        raise source.refused(f"its variants need different names, got {shown(names)}")
    for row in rows:
        if row["compared_with"] not in (None, *names) or row["compared_with"] == row["name"]:
            raise source.refused(
                f"{shown(row['name'])} is compared with {shown(row['compared_with'])}, no other variant"
            )
