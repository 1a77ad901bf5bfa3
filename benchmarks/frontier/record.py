"""The frontier's figures as JSON, Markdown tables and a chart."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.frontier.bar import against_stock, check_bar, estimated
from benchmarks.frontier.chart import chart
from benchmarks.frontier.pictures import seconds_file, stem, stored, testbed
from benchmarks.frontier.rows import Row
from benchmarks.frontier.scores import FLIPPED, Judge, Scores
from benchmarks.frontier.tables import markdown
from benchmarks.frontier.targets import judged
from fdplug.errors import ConfigError
from fdplug.profiling.provenance import provenance


def write(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Score the rows that are there; write the figures, the tables and the chart into OUT."""
    bed, held = testbed(options), {row.name: stored(options, row) for row in rows}
    if bed.reference not in held:
        raise ConfigError(f"{options.out} holds no pictures of {bed.reference}; generate them first")
    kept: Path | None = options.add_to
    before = None if kept is None else json.loads(kept.read_text(encoding="utf-8"))
    limit = held["limit"]["images"] if "limit" in held and has_limit(before) else None
    judge = Judge(bed.model, options.first, held[bed.reference]["images"], limit)
    scores = {name: judge.scores(one["images"]) for name, one in held.items()}
    timed = interleaved(seconds_file(options), before)
    settings = {name: getattr(options, name) for name in ("captions", "first", "guidance", "batch")}
    record: dict[str, Any] = {"model": bed.model, "settings": {**settings, "threads": 1}, "reference": bed.reference}
    figures = [_figures(row, held[row.name], scores, scores[bed.reference], timed.get(row.name)) for row in rows]
    earlier = [] if kept is None or before is None else earlier_rows(kept, before, record, figures)
    if before is not None:
        figures = [figure | times(figure["name"], before) for figure in figures]
    for figure, row in zip(figures, rows, strict=True):
        fewer = row.family in ("stock", "limit")
        figure["against_stock"] = {} if fewer else against_stock(figure, figures + earlier, scores)
    check_bar(figures, earlier)
    record |= {"rows": figures + earlier, **provenance("cpu")}
    if before is not None:
        record["hardware"]["cpu"] = both(before["hardware"]["cpu"], record["hardware"]["cpu"])
    record["targets"] = judged(record)
    save(record, options.out / stem(options))


def has_limit(before: Mapping[str, Any] | None) -> bool:
    """Return whether the rows that are kept were judged by their distance to the limit, so that new ones can be."""
    return before is None or all("limit" in row["scores"] for row in before["rows"])


def times(name: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seconds of a row as an earlier file has them; none of a new row: it ran at another time, elsewhere."""
    held: Mapping[str, Any] = next((row for row in before["rows"] if row["name"] == name), {})
    return {key: held.get(key) for key in ("denoiser_s", "seconds")}


def interleaved(file: Path, before: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the seconds of rows that were run in turns: of the last time, or as an earlier file has them."""
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    rows = [] if before is None else before["rows"]
    return {row["name"]: row["interleaved_s"] for row in rows if row["interleaved_s"] is not None}


def both(before: str, now: str) -> str:
    """Return the processors that rows were measured on, each once."""
    known = before.split(" and ")
    return before if now in known else f"{before} and {now}"


def earlier_rows(
    path: Path, held: Mapping[str, Any], record: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of a file that are not measured again, if it is of the same captions and settings."""
    for key in ("model", "settings", "reference"):
        if held[key] != record[key]:
            raise ConfigError(f"{path} is of {key} {held[key]}, this is of {record[key]}: they make no one table")
    again = {figure["name"] for figure in figures}
    return [row for row in held["rows"] if row["name"] not in again]


def save(record: dict[str, Any], path: Path) -> None:
    """Write the record, its tables and its chart."""
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(record, indent=1) + "\n")
    path.with_suffix(path.suffix + ".md").write_text("\n".join(markdown(record)) + "\n")
    chart(record, path.with_suffix(path.suffix + ".png"))


def _figures(
    row: Row, held: Mapping[str, Any], scores: Mapping[str, Scores], base: Scores, timed: float | None
) -> dict[str, Any]:
    own = scores[row.name]
    decibels = own.pictures["psnr"]
    return {
        "name": row.name,
        "family": row.family,
        "calls": row.calls,
        "scores": {name: estimated(own.estimate(name)) for name in own.names},
        "against_reference": {name: estimated(own.against(base, name)) for name in own.names if name != "psnr"},
        "psnr_median": float(decibels.median()),
        "flipped": float((decibels < FLIPPED).double().mean()),
        "gflops": held["gflops"],
        "denoiser_s": held["denoiser"],
        "interleaved_s": timed,
        "seconds": held["seconds"],
    }
