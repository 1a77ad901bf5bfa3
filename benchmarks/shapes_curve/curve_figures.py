"""The curve's figures as JSON, CSV, a Markdown table and a picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fdplug.files.text_tables import markdown_table

PANELS = (
    ("all", "whole caption right (share)"),
    ("texture_db", "texture distance to the drawing (dB)"),
    ("spectra_frechet", "Frechet distance of patch spectra"),
    ("psnr", "PSNR to the baseline (dB)"),
    ("shapes_lpips", "shapes-LPIPS x1000 to the baseline"),
    ("detail", "detail of the baseline kept (share)"),
)
COLUMNS = (
    ("all", "all right", 3),
    ("texture_db", "texture dB", 2),
    ("spectra_frechet", "spectra FD", 2),
    ("frechet_x1000", "shapes-FD x1000", 1),
)
FIDELITY = (
    ("psnr", "PSNR dB", 1),
    ("ssim", "SSIM", 3),
    ("shapes_lpips", "shapes-LPIPS x1000", 1),
    ("detail", "detail kept", 3),
)
DETAILS = ("layout", "background", "size", "fill", "colour", "shape", "clip_analogue", "high_frequency_db")


def write_figures(record: dict[str, Any], out: Path) -> None:
    """Write ``curve.json``, ``curve.csv``, ``curve.md`` and ``curve.png`` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "curve.json").write_text(json.dumps(_rounded(record), indent=1) + "\n")
    write_csv(record, out / "curve.csv")
    (out / "curve.md").write_text("\n".join([*main_table(record), "", *detail_table(record), ""]))
    draw_curve(record, out / "curve.png")


def write_csv(record: dict[str, Any], path: Path) -> None:
    """One line per method and metric: value, error, difference to the baseline and its paired error."""
    fields = ("value", "error", "difference", "difference_error")
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("method", "metric", *fields))
        for method, row in record["rows"].items():
            for metric, figures in row.items():
                if isinstance(figures, dict):
                    writer.writerow((method, metric, *(_short(figures.get(field)) for field in fields)))


def main_table(record: dict[str, Any]) -> list[str]:
    """Markdown lines: each figure with its error, below it the paired difference; bold beyond twice its error."""
    heads = ["pictures", "calls", *(title for _, title, _ in (*COLUMNS, *FIDELITY))]
    body = []
    for method, row in record["rows"].items():
        cells = [method, str(row.get("calls", "-"))]
        body.append([*cells, *(_cell(row.get(key), digits) for key, _, digits in (*COLUMNS, *FIDELITY))])
    return markdown_table(heads, body).splitlines()


def detail_table(record: dict[str, Any]) -> list[str]:
    """Markdown lines: the share of pictures in which each attribute is right, and the remaining scores."""
    body = [[method, *(_cell(row.get(key), 3) for key in DETAILS)] for method, row in record["rows"].items()]
    return markdown_table(["pictures", *DETAILS], body).splitlines()


def draw_curve(record: dict[str, Any], path: Path) -> None:
    """Plot the scores against the calls of the denoiser, with two standard errors, the drawings' level dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plain = [row for row in record["rows"].values() if "calls" in row and not row["propagation"]]
    calls = sorted({row["calls"] for row in plain})
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (key, title) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        for number, line in enumerate(dict.fromkeys(row["line"] for row in plain)):
            rows = sorted((row for row in plain if row["line"] == line and key in row), key=lambda row: row["calls"])
            values, errors = ([row[key][part] for row in rows] for part in ("value", "error"))
            if rows:
                spread = [2 * error for error in errors]
                look: dict[str, Any] = {"marker": "osD^vP*X"[number % 8], "color": f"C{number}", "label": line}
                axes.errorbar([row["calls"] for row in rows], values, spread, capsize=3, **look)
        if key in record["rows"]["drawn"] and key != "texture_db":
            axes.axhline(record["rows"]["drawn"][key]["value"], linestyle="--", color="gray", label="drawings")
        axes.set_xscale("log")
        axes.set_xticks(calls, [str(one) for one in calls], fontsize=7)
        axes.minorticks_off()
        axes.set(title=title, xlabel="denoiser calls")
        axes.title.set_fontsize(9)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _cell(figures: dict[str, float] | None, digits: int) -> str:
    if figures is None:
        return "-"
    text = f"{figures['value']:.{digits}f} ±{figures['error']:.{digits}f}"
    if "difference" not in figures:
        return text
    difference, error = figures["difference"], figures["difference_error"]
    change = f"{difference:+.{digits}f} ±{error:.{digits}f}"
    return f"{text} ({f'**{change}**' if abs(difference) > 2 * error else change})"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
