"""The frontier's figures as JSON, a Markdown table and a chart."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.frontier import REFERENCE, Row, kept
from benchmarks.shapes_curve.curve_scores import psnr
from fdplug.errors import ConfigError
from fdplug.metrics.uncertainty import mean, paired
from fdplug.shapes import evaluators
from fdplug.shapes.annotations import references


def write(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Score the rows that are there, and write ``frontier.json``, ``frontier.md`` and ``frontier.png`` into OUT."""
    stored = {row.name: torch.load(kept(options, row), weights_only=True) for row in rows}
    if REFERENCE not in stored:
        raise ConfigError(f"{options.out} holds no pictures of {REFERENCE}; generate them first")
    captions = [record.caption for record in references()[: options.captions]]
    judges = evaluators.load()
    base = stored[REFERENCE]["images"].float() / 255
    right = judges.semantics(base, captions)["all"]
    figures = []
    for row in rows:
        images = stored[row.name]["images"].float() / 255
        figures.append(_figures(row, stored[row.name], images, base, judges.semantics(images, captions)["all"], right))
    settings = {"captions": len(captions), "guidance": options.guidance, "batch": options.batch, "threads": 1}
    record = {"settings": settings, "reference": REFERENCE, "rows": figures}
    (options.out / "frontier.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / "frontier.md").write_text("\n".join(table(record)) + "\n")
    _chart(figures, options)
    print("\n".join(table(record)))


def _figures(
    row: Row, held: dict[str, Any], images: Tensor, base: Tensor, hits: Tensor, right: Tensor
) -> dict[str, Any]:
    decibels, change = psnr(images, base), paired(hits, right)
    count = len(images)
    return {
        "name": row.name,
        "family": row.family,
        "calls": row.calls,
        "psnr": float(decibels.mean()),
        "psnr_se": mean(decibels).error,
        "psnr_median": float(decibels.median()),
        "flipped": float((decibels < 25).double().mean()),
        "accuracy": float(hits.double().mean()),
        "change": change.value,
        "change_se": change.error,
        "gflops": held["gflops"],
        "denoiser_s": held["denoiser"] / count,
        "seconds": held["seconds"] / count,
    }


def table(record: dict[str, Any]) -> list[str]:
    """Markdown lines: every row, by falling calls and falling PSNR."""
    heads = ("row", "calls", "PSNR dB", "median", "below 25 dB", "accuracy", "paired change", "GFLOPs", "denoiser s")
    said = "{captions} captions, guidance {guidance:g}, batch {batch}, one thread; per image.".format(
        **record["settings"]
    )
    lines = [f"Against DDIM-50: {said}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in sorted(record["rows"], key=lambda row: (-row["calls"], -row["psnr"])):
        cells = (
            row["name"],
            str(row["calls"]),
            f"{row['psnr']:.1f} ±{row['psnr_se']:.1f}",
            f"{row['psnr_median']:.1f}",
            f"{row['flipped']:.0%}",
            f"{row['accuracy']:.3f}",
            f"{row['change']:+.3f} ±{row['change_se']:.3f}",
            f"{row['gflops']:.3g}",
            f"{row['denoiser_s']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _chart(figures: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """Plot the best row of every kind and number of calls: fidelity and accuracy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, key in zip(figure.subplots(1, 2), ("psnr", "accuracy"), strict=True):
        for family in dict.fromkeys(row["family"] for row in figures if row["name"] != REFERENCE):
            best: dict[int, float] = {}
            for row in (row for row in figures if row["family"] == family):
                best[row["calls"]] = max(row[key], best.get(row["calls"], float("-inf")))
            axes.plot(sorted(best), [best[calls] for calls in sorted(best)], marker="o", label=f"best {family}")
        axes.set(xlabel="denoiser calls", title=key)
        axes.legend(fontsize=8)
    figure.savefig(options.out / "frontier.png", dpi=100, metadata={"Software": None})
