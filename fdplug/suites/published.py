"""Published figures beside our own, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fdplug.lookup import score_numbers
from fdplug.suites.suite import Suite, load

Row = Mapping[str, Any]
NOTHING, NOT_RUN = "-", "not run"
OTHER_MODEL = "different models: compare directions and ratios, not the numbers themselves"
CLIP_SCALE = 2.5 / 100
"""The paper's CLIP score is 2.5 x cosine, fdplug's 100 x cosine."""


@dataclass(frozen=True)
class Figure:
    """A published quantity, and the column of ours that stands beside it.

    Attributes:
        key: its name in the suite.
        title: what it is called in print.
        ours: keys of our numbers in order of preference, each with its factor.
        printed: how the published figure is written.
        own: how ours is.
        relative: whether the change against the baseline is added.
    """

    key: str
    title: str
    ours: tuple[tuple[str, float], ...]
    printed: str = "g"
    own: str = ".3g"
    relative: bool = False


FIGURES = (
    Figure("fid", "FID", (("fid", 1), ("shapes_fd", 1)), ".2f", ".2f"),
    Figure("is", "IS", (("inception_score", 1), ("shapes_is", 1)), ".2f", ".2f"),
    Figure("precision", "precision", (("precision", 1), ("shapes_precision", 1)), ".2f", ".3f"),
    Figure("recall", "recall", (("recall", 1), ("shapes_recall", 1)), ".2f", ".3f"),
    Figure("clip", "CLIP score", (("clip_score", CLIP_SCALE), ("shapes_clip", 1)), ".3f", ".3f"),
    Figure("gflops", "GFLOPs", (("gflops_per_image_paper_convention", 1),), relative=True),
    Figure("denoiser_seconds", "denoiser s", (("denoiser_seconds_per_image", 1),), ".2f", relative=True),
    Figure("seconds", "total s", (("seconds_per_image", 1),), ".2f", relative=True),
    Figure("ftc", "FTC", (("ftc", 1),), ".1f", ".1f"),
)


def published(name: str | None, rows: Sequence[Row], model: str) -> dict[str, Any] | None:
    """The table of the suite of that name, see `beside`; None for no suite."""
    return None if name is None else beside(load(name), rows, model)


def beside(suite: Suite, rows: Sequence[Row], model: str) -> dict[str, Any]:
    """A table as plain data: `title`, `head`, `body` (texts), and `notes`.

    Args:
        suite: the published table.
        rows: what `compare` measured.
        model: the model that it ran.
    """
    by_name = {row["name"]: {**row, "ftc": _ftc(row)} for row in rows}
    figures = [figure for figure in FIGURES if any(figure.key in line.published for line in suite.rows)]
    columns = [(figure, _column(figure, list(by_name.values()))) for figure in figures]
    printed = {line.label: line.published for line in suite.rows}
    head, numbers = ["variant"], score_numbers()
    for figure, (key, _) in columns:
        title = numbers[key].title if key in numbers else figure.title
        head += [f"{figure.title}, published", f"{title}, ours"]
    body = []
    for line in suite.rows:
        row = by_name.get(line.label)
        against = str(row["compared_with"]) if row else line.against or suite.rows[0].label
        cells = [line.label]
        for figure, column in columns:
            cells.append(_published(figure, line.published, printed.get(against, {})))
            cells.append(_ours(figure, column, row, by_name.get(against)))
        body.append(cells)
    return {
        "name": suite.name,
        "title": suite.title,
        "head": head,
        "body": body,
        "notes": [_setup(suite, model), *suite.stand_in_note(model), *suite.notes, *suite.left_out],
    }


def _setup(suite: Suite, model: str) -> str:
    same = "" if model in suite.models else f"; {OTHER_MODEL}"
    return (
        f"Published: {suite.setup}. Ours: {model}{same}. In brackets: the change against the un-accelerated row; GFLOPs"
        " in the paper's convention."
    )


def _ftc(row: Row) -> float | None:
    """Frechet distance x seconds / CLIP score, of what the row has."""
    distance = row.get("fid", row.get("shapes_fd"))
    clip = row["clip_score"] * CLIP_SCALE if row.get("clip_score") is not None else row.get("shapes_clip")
    return distance * row["seconds_per_image"] / clip if distance is not None and clip else None


def _column(figure: Figure, rows: Sequence[Row]) -> tuple[str, float]:
    found = [column for column in figure.ours if any(row.get(column[0]) is not None for row in rows)]
    return (found or figure.ours)[0]


def _published(figure: Figure, own: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    if figure.key not in own:
        return NOTHING
    return f"{own[figure.key]:{figure.printed}}" + _change(figure, own[figure.key], baseline.get(figure.key))


def _ours(figure: Figure, column: tuple[str, float], row: Row | None, baseline: Row | None) -> str:
    key, factor = column
    if row is None:
        return NOT_RUN
    if row.get(key) is None:
        return NOTHING
    text = f"{row[key] * factor:{figure.own}}"
    return text + _change(figure, row[key], None if baseline is None else baseline.get(key))


def _change(figure: Figure, value: float, baseline: float | None) -> str:
    if not figure.relative or not baseline or value == baseline:
        return ""
    return f" ({100 * (value / baseline - 1):+.0f}%)"
