"""Figures for prose that were counted: GFLOPs of a denoiser by part, and work divided over processes.

`python -m docs.building.counted_figures > benchmarks/results/complexity.json` counts the parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from docs.building.results_file import RESULTS, Value, named, results
from docs.building.results_table import cell
from fdplug.policies.published import PUBLISHED
from fdplug.propagation.split import portions

STEPS = 50
SAMPLE = 4 * 64 * 64 * 2
"""Bytes of the prediction of one row of SD v1.5 at 512 x 512, in 16 bits."""


def complexity(part: str, convention: str) -> float:
    """Return GFLOPs of a guided step of SD v1.5, as `recorded` once counted them.

    Args:
        part: `encoder`, `bottleneck`, `decoder`, `all`, or what a `replayed` step saves, and that as a `share` of all.
        convention: `full` or `paper`.
    """
    held = results("complexity")
    if part == "share":
        return complexity("replayed", convention) / complexity("all", convention)
    if part in ("all", "replayed"):
        return float(held["gflops" if part == "all" else part][convention])
    return float(named(held["shares"], part=part)["gflops"][convention])


def split(what: str, processes: str = "1") -> float:
    """Return what one image of SD v1.5 costs on several processes: DDIM-50, the paper's key steps, guided.

    Args:
        what: the `rows` that the busiest process decodes and its `gflops`; how many times less that is than of one
            process (`to-one`) and than of the stock pipeline (`to-stock`); the megabytes `received` by each, and those
            of `all` predictions; how many times as fast the small model was `measured` to be.
        processes: their number.
    """
    ranks = int(processes)
    spans = [2 * (end - start) for start, end in pairwise([*sorted(PUBLISHED["sd"][STEPS]), STEPS])]
    most = [max(map(len, portions(span, ranks))) for span in spans]
    if what == "measured":
        rows = results("split_decode_cpu_small")["rows"]
        return float(named(rows, variant=f"propagation, split over {ranks} processes")["speedup_to_one_process"])
    stock, one = (_gflops(f"ddim, {STEPS}, {keys}") for keys in (STEPS, len(spans)))
    part = (stock - one) / (STEPS - len(spans))
    busiest = len(spans) * part + sum(most) * (stock / STEPS - part) / 2
    return {
        "rows": sum(most),
        "gflops": busiest,
        "to-one": one / busiest,
        "to-stock": stock / busiest,
        "received": (ranks - 1) * sum(most) * SAMPLE / 1e6,
        "all": sum(spans) * SAMPLE / 1e6,
    }[what]


def _gflops(row: str) -> float:
    found = cell(RESULTS / "gflops.md", row, "full (honest)")
    return found if isinstance(found, float) else found[0]


def recorded() -> dict[str, Any]:
    """Count what `complexity` reads."""
    from fdplug.complexity.inputs import example
    from fdplug.complexity.layers import complexity
    from fdplug.complexity.models import load_denoiser

    network = load_denoiser("stable-diffusion-v1-5")
    return without_layers(complexity(network, example(network, 2)).as_dict())


def without_layers(counted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file keeps of a denoiser's complexity: nothing of single layers."""
    shares = [{key: share[key] for key in ("part", "parameters", "gflops")} for share in counted["shares"]]
    kept = ("denoiser", "rows", "sample", "replayed", "parameters", "gflops")
    return {**{key: counted[key] for key in kept}, "shares": shares}


COUNTED: dict[str, Callable[..., Value]] = {"complexity": complexity, "split": split}

if __name__ == "__main__":
    print(json.dumps(recorded(), indent=2))
