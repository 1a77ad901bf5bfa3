"""Figures for prose that were measured: of the embedded models, the paper's ablations, costs, and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docs.building.catalogue import ROOT
from docs.building.results_file import RESULTS, Value, named, results
from docs.building.results_table import cell

CURVES = ROOT / "docs" / "shapes-curve"
CARDS = ROOT / "fdplug" / "shapes"
SUITE = {
    "accuracy": "semantic_accuracy",
    "outline": "outline_f1",
    "psnr": "psnr",
    "gflops": "gflops_per_image_paper_convention",
    "inception": "shapes_is",
}


def curve(what: str, folder: str, row: str) -> Value:
    """Return a figure of methods on an embedded model, by every score.

    Args:
        what: `accuracy` or `psnr`, with their errors; the share of detail that is `lost`.
        folder: of `docs/shapes-curve`; `.` is that itself.
        row: as the file calls it.
    """
    found = results("curve", CURVES / folder)["rows"][row]
    if what == "lost":
        return 1 - found["detail"]["value"]
    score = found[{"accuracy": "all", "psnr": "psnr"}[what]]
    return score["value"], score["error"]


def falls(file: str, sampler: str) -> float:
    """Return the most calls at which a sampler's accuracy is lower than the reference's by more than twice its error.

    Args:
        file: of the frontier, or a folder of `docs/shapes-curve`.
        sampler: with its timesteps, as the file calls it.
    """
    differences = _frontier_differences if (RESULTS / f"{file}.json").exists() else _curve_differences
    return max(calls for calls, lost, error in differences(file, sampler) if lost < -2 * error)


def _frontier_differences(file: str, sampler: str) -> list[tuple[int, float, float]]:
    rows = [row for row in results(file)["rows"] if row["name"] == f"{sampler}-{row['calls']}"]
    scores = [(row["calls"], row["against_reference"]["accuracy"]) for row in rows]
    return [(calls, score["value"], score["error"]) for calls, score in scores]


def _curve_differences(folder: str, sampler: str) -> list[tuple[int, float, float]]:
    rows = [row for row in results("curve", CURVES / folder)["rows"].values() if row.get("line") == sampler]
    scores = [(row["calls"], row["all"]) for row in rows if "difference" in row["all"]]
    return [(calls, score["difference"], score["difference_error"]) for calls, score in scores]


def card(model: str, row: str, column: str) -> Value:
    """Return a figure of a table of a model's card: of `CONTROLNET.md` or `FLOW.md`."""
    return cell(CARDS / f"{model}.md", row, column)


def suite(what: str, table: str, variant: str) -> Value:
    """Return a figure of a variant of the paper's ablations.

    Args:
        what: `accuracy` or `outline`, with their errors; `psnr`; `gflops` an image in the paper's convention, and the
            share of them that is `saved` of the variant that this one is compared with; the full GFLOPs of a `step`;
            the `inception` score of the embedded model.
        table: the suite, such as `table9`.
        variant: its name.
    """
    rows: list[dict[str, Any]] = results("suites")[table]["variants"]
    row = named(rows, name=variant)
    if what == "step":
        return float(row["gflops_per_image"] / row["denoiser_calls"])
    if what == "saved":
        whole = named(rows, name=row["compared_with"])
        return float(1 - row[SUITE["gflops"]] / whole[SUITE["gflops"]])
    value, error = row[SUITE[what]], row.get(f"{SUITE[what]}_se")
    return value if error is None else (value, error)


def overhead(what: str) -> float:
    """Return what propagation itself costs.

    Args:
        what: milliseconds of `own` cost at a call of the denoiser; of SD v1.5 decoded step by step, the ratio of `time`
            to the baseline, that of `gflops`, and the first `over` the second.
    """
    held = results("overhead")
    keys = {"time": "time_ratio", "gflops": "gflops_ratio", "over": "time_over_gflops"}
    return float(held["own_cost"]["own_ms_per_call"] if what == "own" else held["sd15_serial"][keys[what]])


def longer(file: str, architecture: str, method: str) -> float:
    """Return by which share a method's networks take longer than spans in one batch, side by side."""
    rows = results(f"side-by-side-{file}-256-cpu")["rows"]
    one, whole = (named(rows, architecture=architecture, method=name) for name in (method, "parallel"))
    return float(one["networks_s"] / whole["networks_s"] - 1)


def moved(which: str) -> float:
    """Return by which share automatic spans move more memory than whole ones: the `least` or the `most` of models."""
    rows = results("span-memory")
    shares = [
        named(rows, architecture=name, method="parallel, max_span_batch: auto")["moved_gib"]
        / named(rows, architecture=name, method="parallel")["moved_gib"]
        for name in sorted({row["architecture"] for row in rows})
    ]
    return float({"least": min, "most": max}[which](shares) - 1)


def optimized(what: str, side: str, model: str, guidance: str, budget: str, seed: str = "0") -> Value:
    """Return a figure of what a search answered.

    Args:
        what: `psnr`, with its error, or `speed`, how many times as fast as the settings given it is.
        side: `taken`, or `bar`, the best of fewer steps.
        model: `shapes` or `shapes-flow`.
        guidance: its scale.
        budget: of the search.
        seed: of the search.
    """
    rows = results("optimize")["rows"]
    row = named(rows, model=model, guidance=float(guidance), budget=budget, seed=int(seed))[side]
    return (row["psnr"], row["psnr_error"]) if what == "psnr" else float(row[{"speed": "speedup"}[what]])


MEASURED: dict[str, Callable[..., Value]] = {
    "curve": curve,
    "falls": falls,
    "card": card,
    "suite": suite,
    "overhead": overhead,
    "longer": longer,
    "moved": moved,
    "optimized": optimized,
}
