"""The frontier's chart: fidelity and accuracy over denoiser calls, the best row of every family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.frontier_tables import FAMILIES, best

COLOURS = {"tuned": "#b3261e", "trunk": "#e08a3c", "stock": "#1f4e8c", "deepcache": "#6b8f71", "paper": "#8a8a8a"}
TITLES = {"psnr": "PSNR to DDIM-50, dB", "accuracy": "semantic accuracy"}


def chart(record: Mapping[str, Any], path: Path) -> None:
    """Draw the best row of every family by each score, with one standard error, and the reference's accuracy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    figure = Figure(figsize=(9, 3.8), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rows = record["rows"]
    budgets = sorted({row["calls"] for row in rows if row["family"] in ("tuned", "trunk")})
    for axes, (score, title) in zip(figure.subplots(1, 2), TITLES.items(), strict=True):
        for family, name in FAMILIES.items():
            found = [(calls, best(rows, family, calls, score)) for calls in budgets]
            points = [(calls, row["scores"][score]) for calls, row in found if row is not None]
            if points:
                axes.errorbar(
                    [calls for calls, _ in points],
                    [one["value"] for _, one in points],
                    [one["error"] for _, one in points],
                    color=COLOURS[family],
                    marker="o",
                    markersize=4,
                    capsize=2,
                    linewidth=2 if family == "tuned" else 1.3,
                    label=name,
                )
        if score == "accuracy":
            reference = next(row for row in rows if row["name"] == record["reference"])
            axes.axhline(reference["scores"][score]["value"], color="#444444", linestyle=":", label="DDIM-50")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(budgets))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(calls) for calls in budgets])
        axes.set(xlabel="denoiser calls", title=title)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.axes[1].legend(*_only(figure.axes[1], "DDIM-50"), fontsize=8, frameon=False, loc="lower right")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _only(axes: Any, label: str) -> tuple[list[Any], list[str]]:
    pairs = [(handle, name) for handle, name in zip(*axes.get_legend_handles_labels(), strict=True) if name == label]
    return [handle for handle, _ in pairs], [name for _, name in pairs]
