"""The files of a comparison: images, one picture of all, and the numbers as json, csv and Markdown."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from fdplug.errors import ConfigError
from fdplug.files.checksum import with_checksum
from fdplug.files.writing import writable_folder, write_text
from fdplug.predict.comparison.checkpoint import ROUNDS, Checkpoint, image_folder
from fdplug.predict.comparison.image_grid import crossed_out, side_by_side
from fdplug.predict.comparison.table import texts, to_csv, to_markdown
from fdplug.predict.storage.atomic import write_png
from fdplug.predict.storage.manifest import MANIFEST
from fdplug.predict.storage.preview import preview, read, stored
from fdplug.predict.storage.run_folder import SETTINGS, RunFolder
from fdplug.profiling.provenance import summary

if TYPE_CHECKING:
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.data.captions import Caption

SHOWN = 8
REAL = "real"
FILES = (
    "results.json",
    "results.csv",
    "results.md",
    "side_by_side.png",
    "report.html",
    "vote.html",
    "vote_key.json",
    MANIFEST,
    ROUNDS,
    SETTINGS,
)
VOTES = "votes.json"
"""What `fdplug report --votes` adds; it is about the pictures of one comparison."""


class ResultFolder:
    """Where a comparison writes.

    Args:
        folder: made if it is missing.
        overwrite: replace the results of an earlier comparison.

    Raises:
        ConfigError: the folder holds something else already, or cannot be written.
    """

    def __init__(self, folder: str | Path, overwrite: bool = False) -> None:
        self.folder = Path(folder)
        self.overwrite = overwrite
        self.run = RunFolder(self.folder, "name another with --out")
        found = [path for path in self.folder.iterdir() if path.name[0] != "."] if self.folder.is_dir() else []
        if found and not self.run.begun and not overwrite:
            raise ConfigError(f"the folder {self.folder} is not empty; name another with --out, or add --overwrite")
        writable_folder(self.folder)
        self.real: list[Image.Image] = []

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse other settings than those that the folder was begun with; see `RunFolder.check`."""
        if not self.overwrite:
            self.run.check("settings", settings)

    def begin(self, settings: Mapping[str, Any], weights: Mapping[str, str]) -> Checkpoint:
        """Keep others out, and return what an interrupted comparison has left."""
        self.run.open()
        if self.overwrite:
            self._clear()
        self.run.keep("settings", settings)
        self.run.keep("weights", weights)
        return Checkpoint(self.folder)

    def end(self) -> None:
        """Let others in."""
        self.run.close()

    def _clear(self) -> None:
        """Remove what an earlier comparison wrote, and nothing else."""
        if self.run.begun or (self.folder / "results.json").is_file():
            shutil.rmtree(self.folder / "images", ignore_errors=True)
        for path in (*(self.folder / name for name in (*FILES, VOTES)), *self.folder.glob("manifest.rank*.jsonl")):
            path.unlink(missing_ok=True)

    def written(self) -> list[str]:
        """Names of the files that are there."""
        return [name for name in FILES if (self.folder / name).is_file()]

    def write_sheet(self, variants: Sequence[Variant], captions: Sequence[Caption]) -> Path:
        """Write the picture of all: rows are captions, columns are the real images if there are any, and variants."""
        shown = captions[:SHOWN]
        columns = [[self._picture(variant, caption) for caption in shown] for variant in variants]
        heads = [variant.name for variant in variants]
        if self.real:
            columns, heads = [self.real, *columns], [REAL, *heads]
        grid = [[column[index] for column in columns] for index in range(len(shown))]
        path = self.folder / "side_by_side.png"
        write_png(side_by_side(heads, [caption.text for caption in shown], grid), path)
        return path

    def _picture(self, variant: Variant, caption: Caption) -> Image.Image:
        """An image that was generated, or a cross where it holds not-a-number."""
        path = stored(self.folder / image_folder(variant), Path(caption.output_name).stem)
        return preview(read(path)) if path.is_file() else crossed_out()

    def write_results(self, results: dict[str, Any], title: str) -> None:
        """Write the numbers."""
        rows = results["variants"]
        text = json.dumps(with_checksum(_finite(results)), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(f"{text}\n", self.folder / "results.json")
        write_text(to_csv(rows), self.folder / "results.csv")
        write_text(_markdown(results, title), self.folder / "results.md")


def _finite(value: Any) -> Any:
    """The same, with None for what json has no number for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown(results: dict[str, Any], title: str) -> str:
    notes = "".join(f"- {note}\n" for note in (*results["equal_time"], *results["notes"], *results["warnings"]))
    machine = f"{summary(results['hardware'])}; " + ", ".join(
        f"{name} {version}" for name, version in results["versions"].items() if version
    )
    tables = to_markdown(texts(results["variants"]))
    if published := results["published"]:
        remarks = "".join(f"- {note}\n" for note in published["notes"])
        tables += f"\n## {published['title']}\n\n{to_markdown(published)}\n{remarks}"
    return f"# {title}\n\n{tables}\n{notes}\n{results['created']}, {machine}.\n"
