"""The frontier's chart: fidelity and accuracy over cost, the best row of every family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.frontier.bar import best
from benchmarks.frontier.cells import titled
from benchmarks.frontier.tables import FAMILIES

COLOURS = {
    "tuned": "#b3261e",
    "trunk": "#e08a3c",
    "knots": "#1f8c7a",
    "stock": "#1f4e8c",
    "deepcache": "#6b8f71",
    "paper": "#8a8a8a",
    "residual": "#7b4ea3",
    "guidance": "#b39c1e",
    "leaveout": "#5b8ac6",
    "earlystop": "#4ba3a3",
}
POINTS = ("paper", "deepcache", "residual", "guidance", "knots", "earlystop")
TICKS = (6, 8, 10, 12, 14, 16, 20, 25, 40)


def chart(record: Mapping[str, Any], path: Path) -> None:
    """Draw the best rows of every family by each score into a file."""
    drawn(record).savefig(path, dpi=110, metadata={"Software": None})


def drawn(record: Mapping[str, Any]) -> Any:
    """Return the figure: rows with one standard error, and the reference's accuracy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    figure = Figure(figsize=(9, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    reference = next(row for row in record["rows"] if row["name"] == record["reference"])
    base = titled(record["reference"])
    titles = {"psnr": f"PSNR to {base}, dB", "accuracy": "semantic accuracy"}
    for axes, (score, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for family, name in FAMILIES.items():
            points = _points(record, family, score, reference)
            if not points:
                continue
            axes.errorbar(
                [cost for cost, _ in points],
                [one["value"] for _, one in points],
                [one["error"] for _, one in points],
                color=COLOURS[family],
                marker="o",
                markersize=4,
                capsize=2,
                elinewidth=0.8,
                linewidth=2 if family == "tuned" else 1.3,
                linestyle="" if family in POINTS else "-",
                label=name,
            )
        if score == "accuracy":
            axes.axhline(reference["scores"][score]["value"], color="#444444", linestyle=":", label=base)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(calls) for calls in TICKS])
        axes.set(xlabel="GFLOPs, in calls of the whole denoiser", title=title)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _legend(figure)
    return figure


def _legend(figure: Any) -> None:
    """Name every line once, below both charts, where there are no curves."""
    named = {
        name: handle for axes in figure.axes for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = min(len(named), 4)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def _points(record: Mapping[str, Any], family: str, score: str, reference: Mapping[str, Any]) -> list[Any]:
    """Return cost and score of the best row of a family for every number of calls, the cheapest one first."""
    rows = record["rows"]
    found = [best(rows, family, calls, score) for calls in sorted({row["calls"] for row in rows})]
    each = reference["gflops"] / reference["calls"]
    return [(row["gflops"] / each, row["scores"][score]) for row in found if row is not None]
