"""Every table of results on one page, each with its date, its machine, its command and the raw figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.building.results_file import RESULTS

PAGE = "results.md"
RAW = "https://github.com/fdplug/fdplug/blob/main/benchmarks/results"
HEAD = """# Results

Every table that was measured for these pages, as the programs of `benchmarks/` wrote it: when, on what, by which
command, and the raw figures. What is counted and how: [What is measured](measuring.md). **No GPU was at hand**; what is
timed here was timed on a CPU."""
COUNTED = "counted, not timed: any machine"
TABLE = re.compile(r"(?:^\|.*(?:\n|\Z))+", re.MULTILINE)
LONG = 12
"""Rows of a table that is shown at once."""


@dataclass(frozen=True)
class Run:
    """What made a table.

    Attributes:
        title: the heading.
        command: which writes it.
        page: where it is discussed.
        date: of the measurement, where the raw figures do not hold it.
        machine: likewise.
        raw: the file of raw figures, where it is called otherwise; empty where there is none.
    """

    title: str
    command: str
    page: str
    date: str = ""
    machine: str = ""
    raw: str | None = None


FRONTIER = "python -m benchmarks.frontier --out outputs/frontier --captions 192 --tuned"
SIDES = "python -m benchmarks.side_by_side"
RUNS = {
    "frontier-g7.5": Run(
        "Against fewer steps, guidance 7.5", f"{FRONTIER} benchmarks/results/frontier-tuned-g7.5.json", "frontier.md"
    ),
    "frontier-g7.5-unseen": Run(
        "The same on captions that nothing was tuned on",
        f"{FRONTIER} benchmarks/results/frontier-tuned-g7.5.json --first 48 "
        "--contenders benchmarks/results/frontier-g7.5.json",
        "frontier.md",
    ),
    "frontier-g4": Run(
        "Against fewer steps, guidance 4", f"{FRONTIER} benchmarks/results/frontier-tuned-g4.json", "frontier.md"
    ),
    "frontier-g4-unseen": Run(
        "Guidance 4 on captions that nothing was tuned on",
        f"{FRONTIER} benchmarks/results/frontier-tuned-g4.json --guidance 4 --first 48 "
        "--contenders benchmarks/results/frontier-g4.json",
        "frontier.md",
    ),
    "frontier-dpm20-g7.5-unseen": Run(
        "Against fewer steps, 20 steps of DPM-Solver++ in place of DDIM-50",
        f"{FRONTIER} benchmarks/results/frontier-tuned-dpm20-g7.5.json --reference dpm-solver++ --first 48 "
        "--contenders benchmarks/results/frontier-g7.5.json",
        "frontier.md",
    ),
    "frontier-shapes-flow-g4": Run(
        "The flow transformer against fewer steps",
        "python -m benchmarks.frontier --model shapes-flow --guidance 4 --out outputs/flow "
        "--tuned benchmarks/results/frontier-tuned-shapes-flow-g4.json",
        "frontier.md",
    ),
    "optimize": Run(
        "What `fdplug optimize` answered",
        "python -m benchmarks.optimized outputs/shapes-flow-*.yaml",
        "optimize.md",
        "2026-11-27",
        "AMD EPYC, one thread",
    ),
    "optimize-by-hand": Run(
        "Its answers beside rows made by hand",
        "python -m benchmarks.optimized outputs/shapes-flow-*.yaml",
        "optimize.md",
        "2026-11-27",
        "AMD EPYC and Intel Xeon, one thread",
        "optimize.json",
    ),
    "optimize-seeds": Run(
        "Its answers with another seed",
        "python -m benchmarks.optimized outputs/shapes-flow-*.yaml",
        "optimize.md",
        "2026-11-27",
        "Intel Xeon, one thread",
        "optimize.json",
    ),
    "tuning": Run(
        "Tuned key steps",
        "python -m benchmarks.tuning --calibration 4 --captions 64 --counts 5 9 --random 2 --genetic 60 --refine 20",
        "tune.md",
    ),
    "suites": Run(
        "The paper's tables", "python -m benchmarks.suites --captions 64", "suites.md", "2026-11-26", "2 cores of a CPU"
    ),
    "gflops": Run(
        "GFLOPs beside the paper's", "python -m benchmarks.gflops", "measuring.md", "2026-11-21", COUNTED, ""
    ),
    "inspected": Run(
        "Public models, from their configurations", "python -m benchmarks.inspected", "models.md", machine=COUNTED
    ),
    "span-memory": Run("Memory of spans", "python -m benchmarks.span_memory", "speed.md", "2026-11-21", COUNTED),
    "side-by-side-ddim50-256-cpu": Run(
        "Methods side by side, DDIM-50", f"{SIDES} --size full --steps 50", "speed.md", "2026-11-26"
    ),
    "side-by-side-sd15-256-cpu": Run(
        "Methods side by side, SD v1.5, DDIM-10", f"{SIDES} --size full --steps 10", "speed.md", "2026-11-26"
    ),
    "side-by-side-dit-sdxl-256-cpu": Run(
        "Methods side by side, DiT and SDXL, DDIM-10", f"{SIDES} --size full --steps 10", "speed.md", "2026-11-26"
    ),
    "side-by-side-caches-cpu": Run(
        "Caches side by side, small DiT, PixArt and Flux",
        f"{SIDES} --size full --systems small-dit small-pixart small-flux --steps 20",
        "speed.md",
        "2026-11-28",
    ),
    "side-by-side-tiny-cpu": Run(
        "Methods side by side, tiny networks", f"{SIDES} --size tiny", "speed.md", "2026-11-26"
    ),
    "split_decode_cpu_small": Run(
        "One image on two processes", "python -m benchmarks.split_decode", "several-gpus.md", "2026-11-21"
    ),
    "predict_throughput": Run(
        "`fdplug predict` beside a bare loop", "python -m benchmarks.predict_throughput", "long-runs.md"
    ),
}


def results_page() -> str:
    """Return the page in Markdown."""
    return "\n\n".join([HEAD, *(text for name, run in RUNS.items() for text in _section(name, run))]) + "\n"


def facts(name: str, run: Run) -> dict[str, str]:
    """Return when, on what and by what a table was made, and where its figures are."""
    raw = f"{name}.json" if run.raw is None else run.raw
    held = json.loads((RESULTS / raw).read_text()) if raw else {}
    given: Mapping[str, Any] = held if isinstance(held, dict) else {}
    files = [f"[{file}]({RAW}/{file})" for file in (f"{name}.md", raw) if file]
    return {
        "date": str(given.get("created", run.date))[:10] or run.date,
        "machine": run.machine or _machine(given),
        "command": f"`{run.command}`",
        "figures": ", ".join(files),
        "about it": f"[{Path(run.page).stem.replace('-', ' ')}]({run.page})",
    }


def _machine(held: Mapping[str, Any]) -> str:
    hardware = held.get("hardware", held)
    threads = hardware.get("torch_threads", hardware.get("threads"))
    versions = held.get("versions", hardware)
    name = hardware.get("cpu") or hardware["processor"]
    return f"{name}, {threads} thread(s), torch {versions['torch']}, diffusers {versions['diffusers']}"


def _section(name: str, run: Run) -> Iterator[str]:
    yield f"## {run.title}"
    yield "\n".join(f"- {what}: {said}" for what, said in facts(name, run).items())
    table = re.sub(r"^<!-- --8<--.*-->\n?", "", (RESULTS / f"{name}.md").read_text(), flags=re.MULTILINE)
    yield folded(re.sub(r"^#+ (.+)$", r"**\1**", table, flags=re.MULTILINE).strip())


def folded(text: str) -> str:
    """Return Markdown whose long tables are shown once they are asked for."""
    return TABLE.sub(lambda match: _fold(match[0]), text)


def _fold(table: str) -> str:
    lines = table.splitlines()
    if len(lines) - 2 <= LONG:
        return table
    return "\n".join([f'??? note "{len(lines) - 2} rows"', "", *(f"    {line}" for line in lines)]) + "\n"
