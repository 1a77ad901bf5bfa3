"""What guidance does to the price of fewer steps: ``python -m benchmarks.shapes_curve.guidance --out F``.

Measures nothing: reads the stock rows of `benchmarks/results/frontier-gG.json`, takes each sampler with the timesteps
that keep most of its accuracy (then of its PSNR), and writes F/guidance.md and .png; with ``--model shapes-flow`` from
`frontier-shapes-flow-gG.json` F/flow.md and .png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fdplug.files.text_tables import markdown_table
from fdplug.shapes import FLOW

RESULTS = Path(__file__).parents[1] / "results"
TITLES = {
    "ddim": "DDIM",
    "euler": "Euler",
    "dpm-solver++": "DPM-Solver++",
    "dpm-solver++1": "DPM-Solver++, first order",
    "deis": "DEIS",
    "unipc": "UniPC",
    "flow-euler": "Euler",
    "flow-dpm++": "DPM-Solver++",
    "flow-unipc": "UniPC",
}
MARKERS = {"DDIM": "o", "Euler": "s", "DPM-Solver++": "D", "DPM-Solver++, first order": "^", "DEIS": "v", "UniPC": "P"}
FILES = {"shapes": ("frontier", "guidance"), FLOW: (f"frontier-{FLOW}", "flow")}
"""How the names of results and of what is written begin."""
MEASURED = {"shapes": ("4", "7.5"), FLOW: ("4",)}
PANELS = (
    ("accuracy", "whole caption right (share)"),
    ("texture", "texture distance to the drawing (dB)"),
    ("spectra", "Frechet distance of patch spectra"),
    ("psnr", "PSNR to the baseline (dB)"),
)
PRICES = (("accuracy", 3), ("spectra", 1))
Row = Mapping[str, Any]
Line = list[Row]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.shapes_curve.guidance", description=__doc__)
    described.add_argument("--out", type=Path, required=True, help="folder of the table and the picture")
    described.add_argument("--model", choices=FILES, default="shapes", help="which of the embedded models")
    described.add_argument("--guidance", nargs="+", metavar="G", help="those with results; by default all")
    return described


def best(record: Mapping[str, Any]) -> dict[str, Line]:
    """The rows of every sampler with its best timesteps, by a title that names both; the most calls first.

    Timesteps that were measured at fewer numbers of calls than others of the sampler are left out.
    """
    lines: dict[str, dict[str, Line]] = {}
    for row in record["rows"]:
        sampler, placement = _parts(row["name"])
        if row["family"] == "stock" and sampler in TITLES:
            lines.setdefault(sampler, {}).setdefault(placement, []).append(row)
    found = {}
    for sampler, title in TITLES.items():
        placements = lines.get(sampler, {})
        most = max(map(len, placements.values()), default=0)
        placements = {name: line for name, line in placements.items() if len(line) == most > 1}
        if placements:
            placement = max(placements, key=lambda name: _rank(placements[name]))
            found[f"{title}, {placement}"] = sorted(placements[placement], key=lambda row: -row["calls"])
    return found


def _parts(name: str) -> tuple[str, str]:
    """Sampler and placement of a row's name, such as `euler-karras-16`."""
    sampler, _, placement = name.rpartition("-")[0].rpartition("-")
    return sampler, placement if placement != "karras" else "Karras"


def _rank(line: Line) -> tuple[float, float]:
    accuracy, psnr = (fmean(row["scores"][score]["value"] for row in line) for score in ("accuracy", "psnr"))
    return accuracy, psnr


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Differences to the baseline by guidance, sampler and score, for each number of calls; bold beyond two errors."""
    lines = {guidance: best(record) for guidance, record in records.items()}
    calls = sorted({row["calls"] for found in lines.values() for line in found.values() for row in line}, reverse=True)
    heads = ["guidance", "sampler", "score", *(f"{one} calls" for one in calls)]
    body = []
    for guidance, found in lines.items():
        for title, line in found.items():
            by_calls = {row["calls"]: row["against_reference"] for row in line}
            for score, digits in PRICES:
                cells = [_cell(by_calls[one][score], digits) if one in by_calls else "-" for one in calls]
                body.append([guidance, title, score, *cells])
    return markdown_table(heads, body) + "\n"


def _cell(price: Mapping[str, float], digits: int) -> str:
    shown = f"{price['value']:+.{digits}f} ±{price['error']:.{digits}f}"
    return f"**{shown}**" if abs(price["value"]) > 2 * price["error"] else shown


def draw(records: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """A row of panels for each guidance, a column for each score, a line for each sampler."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(PANELS), 3.1 * len(records)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(records), len(PANELS), squeeze=False)
    for line, (guidance, record) in zip(grid, records.items(), strict=True):
        for axes, (score, subject) in zip(line, PANELS, strict=True):
            for label, rows in best(record).items():
                title = label.rpartition(", ")[0]
                number, marker = list(MARKERS).index(title), MARKERS[title]
                calls, values = ([row["calls"] for row in rows], [row["scores"][score]["value"] for row in rows])
                axes.plot(calls, values, color=f"C{number}", marker=marker, ms=4, label=label)
            axes.set_title(f"guidance {guidance}: {subject}", fontsize=8)
            axes.set_xlabel("denoiser calls", fontsize=8)
            axes.tick_params(labelsize=7)
            if score == "spectra":
                axes.set(yscale="log", ylim=(4, 300))
            if score == "accuracy":
                axes.set_ylim(0, 1)
        line[0].legend(fontsize=6)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table and the picture."""
    options = parser().parse_args(arguments)
    read, written = FILES[options.model]
    files = {one: RESULTS / f"{read}-g{one}.json" for one in options.guidance or MEASURED[options.model]}
    records = {one: json.loads(file.read_text(encoding="utf-8")) for one, file in files.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{written}.md").write_text(table(records), encoding="utf-8")
    draw(records, options.out / f"{written}.png")
    print(table(records), end="")


if __name__ == "__main__":
    main()
