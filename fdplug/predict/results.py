"""The files of a comparison: images, one picture of all, and the numbers as json, csv and Markdown."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fdplug.errors import ConfigError
from fdplug.predict.provenance import summary
from fdplug.predict.sheet import side_by_side
from fdplug.predict.table import texts, to_csv, to_markdown
from fdplug.predict.writer import writable_folder, write_png, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.trial import Trial

SHOWN = 8
REAL = "real"
FILES = ("results.json", "results.csv", "results.md", "side_by_side.png")


class ResultFolder:
    """Where a comparison writes.

    Args:
        folder: Made if it is missing.
        overwrite: Replace the results of an earlier comparison.

    Raises:
        ConfigError: The folder holds something already, or cannot be written.
    """

    def __init__(self, folder: str | Path, overwrite: bool = False) -> None:
        self.folder = Path(folder)
        if self.folder.is_dir() and any(self.folder.iterdir()) and not overwrite:
            raise ConfigError(f"the folder {self.folder} is not empty; name another with --out, or add --overwrite.")
        writable_folder(self.folder)
        self.pictures: dict[str, list[Image.Image]] = {}

    def clear(self) -> None:
        """Remove what an earlier comparison wrote, and nothing else."""
        if (self.folder / "results.json").is_file():
            shutil.rmtree(self.folder / "images", ignore_errors=True)
        for name in FILES:
            (self.folder / name).unlink(missing_ok=True)

    def write_images(self, trial: Trial, captions: Sequence[Caption], images: Tensor) -> None:
        """Write the images of one variant; keep the first few for the picture of all."""
        folder = self.folder / "images" / trial.variant.slug
        folder.mkdir(parents=True, exist_ok=True)
        for image, caption in zip(images, captions, strict=True):
            write_png(image, folder / caption.output_name)
        self.add_pictures(trial.variant.name, [image.permute(1, 2, 0).numpy() for image in images])

    def add_pictures(self, name: str, pixels: Sequence[np.ndarray]) -> None:
        """Remember pictures (H, W, 3) for the picture of all."""
        kept = self.pictures.setdefault(name, [])
        kept += [Image.fromarray(one) for one in pixels[: SHOWN - len(kept)]]

    def write_sheet(self, names: Sequence[str], captions: Sequence[Caption]) -> Path:
        """Write the picture of all: rows are captions, columns are variants."""
        columns = [name for name in (REAL, *names) if name in self.pictures]
        rows = [caption.text for caption in captions[:SHOWN]]
        grid = [[self.pictures[name][index] for name in columns] for index in range(len(rows))]
        path = self.folder / "side_by_side.png"
        write_png(side_by_side(columns, rows, grid), path)
        return path

    def write_results(self, results: dict[str, Any], title: str) -> None:
        """Write the numbers."""
        rows = results["variants"]
        text = json.dumps(_finite(results), indent=2, ensure_ascii=False, allow_nan=False)
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
