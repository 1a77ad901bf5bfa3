"""Scores of finished folders of images, and their differences to a baseline, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import DataError
from fdplug.files.json_text import read_json
from fdplug.files.schema import TEXT, Object, OrNone, check, whole
from fdplug.files.source import MEGABYTE, Source
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.predict.storage.json_lines import decoded
from fdplug.predict.storage.manifest import MANIFEST
from fdplug.predict.storage.run_folder import METRICS, SETTINGS
from fdplug.scores.base import Batch, CombinedScore
from fdplug.scores.features.images import ImageFolder, batches
from fdplug.scores.rows import Rows
from fdplug.scores.score_set import SECONDS, ScoreSet, without_infinity
from fdplug.scores.uncertainty import named

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor

    from fdplug.scores.features.reference import Reference


@dataclass(frozen=True)
class ImageSet:
    """A folder of images and, as far as known, the caption of each."""

    images: ImageFolder
    captions: list[Caption]

    @classmethod
    def of(cls, folder: str | Path, annotations: str | None) -> ImageSet:
        """The images of a folder, with the captions of an annotation file or of the folder's own manifest.

        Raises:
            DataError: the folder has no images, or an image has no caption in the annotation file.
        """
        images = ImageFolder(folder)
        if annotations is not None:
            known = {caption.output_name: caption for caption in read_captions(annotations)}
        else:
            known = _manifest(images.folder / MANIFEST)
        if not known:
            return cls(images, [])
        missing = [path.name for path in images.paths if path.name not in known]
        if missing:
            source = annotations or images.folder / MANIFEST
            count = f"{len(missing)} of {len(images)} images in {images.folder} have no caption in {source}"
            raise DataError(f"{count}; the first is {missing[0]}")
        return cls(images, [known[path.name] for path in images.paths])

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.images.folder.name or str(self.images.folder)

    @property
    def model(self) -> str | None:
        """The model that generated the images, if `fdplug predict` wrote it down."""
        return _noted(self.images.folder / SETTINGS, "settings", "model")

    @property
    def seconds(self) -> float | None:
        """Seconds per image, if `fdplug predict` wrote them down."""
        return _noted(self.images.folder / METRICS, "seconds_per_image")

    @property
    def media(self) -> str:
        """What the folder holds: `image` or `video`."""
        return self.images.media

    def size(self) -> tuple[int, int]:
        """Height and width of the first image."""
        return self.images.size()

    def need_captions(self) -> None:
        """Refuse images whose captions nobody knows."""
        if not self.captions:
            raise DataError(
                f"nobody knows the captions of {self.images.folder}, it has no {MANIFEST}; give --annotations"
            )

    def need_same_names(self, baseline: ImageSet | None) -> None:
        """Refuse a baseline without an image of each name."""
        names = {path.name for path in baseline.images.paths} if baseline else set()
        missing = [path.name for path in self.images.paths if path.name not in names]
        if missing and baseline:
            count = f"{len(missing)} of {len(self.images)} images of {self.images.folder}"
            raise DataError(f"{count} have no counterpart in {baseline.images.folder}; the first is {missing[0]}")


def _manifest(path: Path) -> dict[str, Caption]:
    if not path.exists():
        return {}
    source = Source(path, "manifest", "give --annotations", limit=2_000 * MEGABYTE)
    found = {}
    for number, line in enumerate(source.lines(), 1):
        try:
            entry = decoded(line.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            raise source.refused(f"line {number} is not as it was written: {error}") from error
        check(source, _ENTRY, entry, f"line {number}")
        if entry["file"]:
            found[entry["file"]] = Caption(entry["id"], entry["caption"])
    return found


_ENTRY = Object({"id": whole(), "caption": TEXT, "file": OrNone(TEXT)})


def _noted(path: Path, *keys: str) -> Any:
    """What stands in a json file under some keys, or None."""
    try:
        value = read_json(Source(path, "notes of a run", "remove it"))
    except DataError:
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _extent(part: Tensor) -> list[int]:
    """Return height and width of a batch of images, and before them the frames of one of videos."""
    return [*part.shape[1:-3], *part.shape[-2:]]


class Evaluation:
    """Goes through folders of images once each and computes everything that was asked for.

    Args:
        scores: everything asked for, its networks loaded.
        reference: the real images, for scores that need them.
        batch_size: images at a time.
    """

    def __init__(self, scores: ScoreSet, reference: Reference | None, batch_size: int) -> None:
        self.scores, self.reference, self.batch_size = scores, reference, batch_size
        self.alone, self.pairs = scores.apart()

    def run(
        self, sets: Sequence[ImageSet], baseline: ImageSet | None, seconds: float | None, progress: Progress
    ) -> list[dict[str, Any]]:
        """One row of numbers for the baseline and for each set."""
        total = sum(len(one.images) * (2 if baseline else 1) for one in sets)
        task = progress.add_task("images", total=total)
        rows: list[dict[str, Any]] = []
        for one in sets:
            row, base = self._evaluated(one, baseline, lambda count: progress.advance(task, count))
            if base is not None and not rows:
                rows.append(base)
            rows.append(row)
        for row, one in zip(rows, ([baseline, *sets] if baseline else sets), strict=True):
            self._combine(row, one, seconds)
        return rows

    def _evaluated(
        self, one: ImageSet, baseline: ImageSet | None, advance: Any
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        scores, others = self.alone.begun(self.reference), self.alone.begun(self.reference)
        pairs, changes = self.pairs.begun(self.reference), _Changes()
        start = 0
        for images in batches(one.images, range(len(one.images)), self.batch_size):
            rows = range(start, start + len(images))
            captions = [one.captions[row] for row in rows] if one.captions else []
            scores.update(Batch(images, captions))
            advance(len(images))
            if baseline is not None:
                there = self._counterparts(one, baseline, rows, images)
                others.update(Batch(there, captions))
                pairs.update(Batch(images, captions, there))
                changes.update(scores, others)
                advance(len(images))
            start += len(images)
        row = {"images": str(one.images.folder), "name": one.name, "count": len(one.images), **scores.compute()}
        if baseline is None:
            return row, None
        base = {"images": str(baseline.images.folder), "name": baseline.name, "count": len(one.images)}
        return {**row, **without_infinity(pairs.compute()), **changes.compute()}, {**base, **others.compute()}

    def _counterparts(self, one: ImageSet, baseline: ImageSet, rows: Sequence[int], images: Tensor) -> Tensor:
        index = {path.name: number for number, path in enumerate(baseline.images.paths)}
        numbers = [index[one.images.paths[row].name] for row in rows]
        there = next(iter(batches(baseline.images, numbers, len(numbers))))
        if there.shape != images.shape:
            shapes = " and ".join("x".join(map(str, _extent(part))) for part in (images, there))
            folders = f"{one.images.folder} and {baseline.images.folder}"
            raise DataError(f"the images of {folders} are of {shapes} pixels; only equal sizes can be compared")
        return there

    def _combine(self, row: dict[str, Any], one: ImageSet | None, seconds: float | None) -> None:
        """Add the numbers that are made of others."""
        needed = [score for score in self.scores.scores if isinstance(score, CombinedScore)]
        if not needed or one is None:
            return
        if any(SECONDS in score.made_of for score in needed):
            row[SECONDS] = one.seconds if seconds is None else seconds
            if row[SECONDS] is None:
                names = " and ".join(score.name for score in needed)
                raise DataError(
                    f"{names} needs the seconds per image of {one.images.folder}: no {METRICS} there; give --seconds"
                )
        row |= self.scores.combine(row)


class _Changes:
    """Mean differences to the baseline, image by image, with standard errors of the differences."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {}

    def update(self, scores: ScoreSet, others: ScoreSet) -> None:
        last = others.last()
        for key, values in scores.last().items():
            difference = values.double().cpu() - last[key].double().cpu()
            self.rows.setdefault(f"{key}_change", Rows()).add(difference)

    def compute(self) -> dict[str, float]:
        return {name: value for key, rows in self.rows.items() for name, value in named(key, rows.gathered()).items()}
