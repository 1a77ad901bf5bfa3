"""The statistics as CSV: one line per block and step, and one per block."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev, quantiles
from typing import Any

from fdplug.analysis.features import Features
from fdplug.analysis.reading import norms_over_steps
from fdplug.denoisers.blocks import Block
from fdplug.files.tables import safe_cell
from fdplug.files.writing import write_text

STEPS = "steps.csv"
BLOCKS = "blocks.csv"
RANGES = "ranges.csv"


def write(features: Features, folder: Path) -> None:
    """Write the files; that of ranges only where blocks hold linear layers."""
    _write(folder / STEPS, _steps(features))
    _write(folder / BLOCKS, (_block(features, block) for block in features.blocks))
    ranged = [block for block in features.blocks if block.name in features.ranges.layers]
    if ranged:
        rows = ({**_who(features, block), **features.ranges.row(block.name)} for block in ranged)
        _write(folder / RANGES, rows)


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    lines = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]))
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in line.items()} for line in lines)
    write_text(text.getvalue(), path)


def _steps(features: Features) -> Iterator[dict[str, Any]]:
    for block in features.blocks:
        for step, timestep in enumerate(features.timesteps):
            row: dict[str, Any] = {**_who(features, block), "step": step, "timestep": timestep}
            for measure in ("mse", "relative", "fnorm"):
                moments = features.measured.get((block.name, step, measure))
                row |= {
                    f"{measure}_mean": "" if moments is None else moments.mean,
                    f"{measure}_std": "" if moments is None else moments.std,
                    f"{measure}_min": "" if moments is None else moments.least,
                    f"{measure}_max": "" if moments is None else moments.most,
                }
            yield {**row, "rows": features.measured[block.name, step, "fnorm"].count}


def _who(features: Features, block: Block) -> dict[str, Any]:
    return {"label": features.labels[block.name], "block": block.name, "half": block.half}


def _block(features: Features, block: Block) -> dict[str, Any]:
    norms = norms_over_steps(features, block)
    changes = {
        measure: [features.mean(block.name, step, measure) for step in range(1, len(features.timesteps))]
        for measure in ("mse", "relative")
    }
    low, middle, high = quantiles(norms, n=4, method="inclusive")
    return {
        **_who(features, block),
        "mse_mean": fmean(changes["mse"]),
        "mse_max": max(changes["mse"]),
        "mse_variance": pstdev(changes["mse"]) ** 2,
        "relative_mean": fmean(changes["relative"]),
        "fnorm_min": min(norms),
        "fnorm_quartile_1": low,
        "fnorm_median": middle,
        "fnorm_quartile_3": high,
        "fnorm_max": max(norms),
        "fnorm_std": pstdev(norms),
        "fnorm_std_per_row": features.over_steps[block.name].mean,
    }
