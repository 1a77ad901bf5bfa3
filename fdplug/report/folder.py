"""What `fdplug compare` left in a folder, read back and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdplug.errors import DataError
from fdplug.predict.comparison.variant import folder_name

RESULTS = "results.json"
NEEDED: Mapping[str, type] = {
    "created": str,
    "hardware": dict,
    "versions": dict,
    "settings": dict,
    "captions": list,
    "variants": list,
}


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
        """The ids of the images, which every variant drew."""
        return self.results["settings"]["image_ids"]

    def row(self, name: str) -> dict[str, Any]:
        """The row of a variant."""
        return next(row for row in self.rows if row["name"] == name)

    def picture(self, name: str, index: int) -> Path:
        """Where variant `name` drew caption `index`; never outside of the folder, whatever the name.

        Raises:
            DataError: there is no such caption.
        """
        if not 0 <= index < len(self.image_ids):
            raise DataError(f"{self.folder} has {len(self.image_ids)} captions, but not number {index}.")
        return self.folder / "images" / folder_name(name) / f"{self.image_ids[index]:012d}.png"

    def drawn(self, name: str, index: int) -> bool:
        """Whether that picture is there: one that held not-a-number is not written."""
        return self.picture(name, index).is_file()

    def both(self, row: dict[str, Any], index: int) -> bool:
        """Whether a row's picture and that of the one it is compared with are there."""
        return self.drawn(row["name"], index) and self.drawn(row["compared_with"], index)


def read(folder: str | Path) -> Compared:
    """Read a folder that `fdplug compare` wrote.

    Raises:
        DataError: it holds no comparison, or one that is not as it should be.
    """
    path = Path(folder) / RESULTS
    try:
        content = path.read_bytes()
        results = json.loads(content)
    except OSError as error:
        message = f"no comparison in {folder} ({error.strerror}): name a folder that `fdplug compare --out` wrote."
        raise DataError(message) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid json: {error}; run the comparison again.") from error
    _check(path, results)
    return Compared(Path(folder), results, hashlib.sha256(content).hexdigest())


def _check(path: Path, results: Any) -> None:
    for key, kind in NEEDED.items():
        if not isinstance(results, dict) or not isinstance(results.get(key), kind):
            raise DataError(f"{path} has no {kind.__name__} '{key}': it is not of this version; compare again.")
    ids, names = results["settings"].get("image_ids"), [_name(path, row) for row in results["variants"]]
    if not isinstance(ids, list) or not all(type(one) is int and one >= 0 for one in ids):
        raise DataError(f"{path}: 'image_ids' must be a list of whole numbers; compare again.")
    if len(ids) != len(results["captions"]) or not names:
        raise DataError(f"{path} has {len(ids)} image ids, {len(results['captions'])} captions, {len(names)} variants.")
    for row in results["variants"]:
        if row.get("compared_with") not in (None, *names):
            raise DataError(f"{path}: '{row['name']}' is compared with '{row['compared_with']}', which is no variant.")


def _name(path: Path, row: Any) -> str:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str) or not folder_name(row["name"]):
        raise DataError(f"{path}: a variant has no name; compare again.")
    return row["name"]
