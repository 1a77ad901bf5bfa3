"""The frontier's figures as JSON, Markdown tables and a chart."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.frontier import kept, seconds_file, starts, testbed
from benchmarks.frontier_cells import HIGHER
from benchmarks.frontier_chart import chart
from benchmarks.frontier_rows import Row
from benchmarks.frontier_scores import FLIPPED, Judge, Scores
from benchmarks.frontier_tables import best, markdown
from benchmarks.frontier_targets import judged
from fdplug.errors import ConfigError
from fdplug.profiling.provenance import provenance
from fdplug.scores.uncertainty import Estimate


def write(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Score the rows that are there; write ``frontier-gG.json``, ``.md`` and ``.png`` into OUT, G the guidance."""
    bed, stored = testbed(options), {row.name: _stored(options, row) for row in rows}
    if bed.reference not in stored:
        raise ConfigError(f"{options.out} holds no pictures of {bed.reference}; generate them first")
    judge = Judge(bed.model, options.captions, stored[bed.reference]["images"])
    scores = {name: judge.scores(one["images"]) for name, one in stored.items()}
    timed = json.loads(seconds_file(options).read_text()) if seconds_file(options).exists() else {}
    settings = {"captions": options.captions, "guidance": options.guidance, "batch": options.batch, "threads": 1}
    record: dict[str, Any] = {"model": bed.model, "settings": settings, "reference": bed.reference}
    figures = [_figures(row, stored[row.name], scores, scores[bed.reference], timed.get(row.name)) for row in rows]
    earlier = [] if options.add_to is None else earlier_rows(options.add_to, record, figures)
    for figure, row in zip(figures, rows, strict=True):
        figure["against_stock"] = against_stock(figure, figures + earlier, scores) if row.family != "stock" else {}
    check_bar(figures, earlier)
    record |= {"rows": figures + earlier, **provenance("cpu")}
    record["targets"] = judged(record)
    save(record, options.out / f"{bed.stem}-g{options.guidance:g}")


def earlier_rows(path: Path, record: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a file that are not measured again, if it is of the same captions and settings."""
    held = json.loads(path.read_text(encoding="utf-8"))
    for key in ("model", "settings", "reference"):
        if held.get(key, "shapes") != record[key]:
            raise ConfigError(f"{path} is of {key} {held.get(key)}, this is of {record[key]}: they make no one table")
    again = {figure["name"] for figure in figures}
    return [row for row in held["rows"] if row["name"] not in again]


def check_bar(figures: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a row that is kept, and was compared with a stock row that no longer is the best one."""
    for row in earlier:
        for score, one in row["against_stock"].items():
            bar = best_stock([*figures, *earlier], row["calls"], score)
            if bar is not None and bar["name"] != one["row"]:
                raise ConfigError(f"{row['name']} has to be compared with {bar['name']}: generate both again")


def save(record: dict[str, Any], path: Path) -> None:
    """Write the record, its tables and its chart."""
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(record, indent=1) + "\n")
    path.with_suffix(path.suffix + ".md").write_text("\n".join(markdown(record)) + "\n")
    chart(record, path.with_suffix(path.suffix + ".png"))


def _stored(options: argparse.Namespace, row: Row) -> dict[str, Any]:
    """Return a row's pictures in [0, 1], and its seconds and GFLOPs per image."""
    pieces = [torch.load(kept(options, row, start), weights_only=True) for start in starts(options)]
    images = torch.cat([piece["images"] for piece in pieces]).float() / 255
    seconds = {name: sum(piece[name] for piece in pieces) / len(images) for name in ("seconds", "denoiser")}
    return {"images": images, "gflops": pieces[0]["gflops"], **seconds}


def _figures(
    row: Row, held: Mapping[str, Any], scores: Mapping[str, Scores], base: Scores, timed: float | None
) -> dict[str, Any]:
    own = scores[row.name]
    decibels = own.pictures["psnr"]
    return {
        "name": row.name,
        "family": row.family,
        "calls": row.calls,
        "scores": {name: _estimate(own.estimate(name)) for name in HIGHER},
        "against_reference": {name: _estimate(own.against(base, name)) for name in HIGHER if name != "psnr"},
        "psnr_median": float(decibels.median()),
        "flipped": float((decibels < FLIPPED).double().mean()),
        "gflops": held["gflops"],
        "denoiser_s": held["denoiser"],
        "interleaved_s": timed,
        "seconds": held["seconds"],
    }


def against_stock(
    figure: dict[str, Any], rows: Sequence[dict[str, Any]], scores: Mapping[str, Scores]
) -> dict[str, Any]:
    """Return, per score, the best of the stock rows with as many calls, and the paired difference to it.

    Where the best one's pictures are not there, there is no difference to tell.
    """
    found = {}
    for score in HIGHER:
        other = best_stock(rows, figure["calls"], score)
        if other is not None and other["name"] in scores:
            difference = scores[figure["name"]].against(scores[other["name"]], score)
            found[score] = {"row": other["name"], **_estimate(difference)}
    return found


def best_stock(rows: Sequence[Mapping[str, Any]], calls: int, score: str) -> Mapping[str, Any] | None:
    """Return the stock row of so many calls that is best by a score, of equal ones the nearest; None without any."""
    stock = [row for row in rows if row["family"] == "stock" and row["calls"] == calls]
    return best(sorted(stock, key=lambda row: -row["scores"]["psnr"]["value"]), "stock", calls, score)


def _estimate(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "error": one.error}
