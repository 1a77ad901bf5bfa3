"""Every method beside the others: in one process, interleaved, with the same weights and seeds.

    python -m benchmarks.side_by_side --size tiny                                       a minute or two on a CPU
    python -m benchmarks.side_by_side --size full --device cuda --dtype float16         on a GPU
    python -m benchmarks.side_by_side --size full --steps 20 --systems small-flux small-pixart small-dit      caches

Each row is one method on one pipeline and batch: seconds per image in the networks that run at every step (denoiser and
ControlNet) and in all, medians over rounds with smallest and largest; speed-up of both over stock; GFLOPs of the
networks by torch's counter over the real call; peak memory; PSNR to the stock images. Weights are random, so PSNR says
how far the arithmetic differs, and nothing about what trained models show. A method that fails is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from benchmarks import measurement
from benchmarks.architectures import ARCHITECTURES, Architecture
from benchmarks.methods import METHODS, Method
from benchmarks.overhead import hardware
from fdplug.errors import FdplugWarning, NoEffectWarning

RESULTS = Path(__file__).parent / "results"
LARGE = [name for name in ARCHITECTURES if not name.startswith("small-")]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
GPU = "python -m benchmarks.side_by_side --size full --device cuda --dtype float16 --batches 1 4 16"
PEERS = ("DeepCache", "tomesd", "cache-dit")
# What a modern GPU should show at 512 x 512, float16, DDIM-50, batch 1: (architecture, method, to what, least ratio).
TARGETS = (
    ("sd15", "parallel", "stock", 1.75),
    ("sd15", "parallel-compile", "stock-compile", 1.6),
    ("controlnet", "parallel", "stock", 2.1),
)


@dataclass
class Row:
    """What was measured of one method; `reason` says why nothing was."""

    architecture: str
    method: str
    batch: int
    reason: str = ""
    networks: list[float] = field(default_factory=list)  # seconds per image, one per round
    total: list[float] = field(default_factory=list)
    gflops: float = math.nan  # per image
    peak_bytes: int = 0
    psnr_db: float = math.nan


@dataclass(frozen=True)
class Setting:
    """One pipeline with one batch, and how it is called."""

    name: str
    architecture: Architecture
    pipe: Any
    batch: int
    arguments: dict[str, Any]
    device: str

    @property
    def networks(self) -> list[Any]:
        """What runs at every step."""
        return [getattr(self.pipe, name) for name in self.architecture.networks]

    def call(self, method: Method) -> dict[str, Any]:
        """Return the arguments of a call under a method."""
        steps = max(1, self.arguments["num_inference_steps"] // method.fewer)
        return {**self.arguments, "num_inference_steps": steps}


def measure(setting: Setting, names: Sequence[str], warm_up: int, rounds: int, progress: Progress) -> list[Row]:
    """Return a row per method; every round runs each of them once, with a seed of its own."""
    names = sorted(names, key=lambda name: name != "stock")  # the others are compared with it
    rows = {name: Row(setting.name, name, setting.batch) for name in names}
    task = progress.add_task(f"{setting.name}, batch {setting.batch}", total=(1 + warm_up + rounds) * len(names))
    images: dict[str, Any] = {}
    for turn in range(-1 - warm_up, rounds):
        for name in names:
            progress.update(task, advance=1, description=f"{setting.name}, batch {setting.batch}: {name}")
            if not rows[name].reason:
                _one(setting, rows[name], turn, first=turn == -1 - warm_up, images=images)
    return list(rows.values())


def _one(setting: Setting, row: Row, turn: int, first: bool, images: dict[str, Any]) -> None:
    """Run one method once: to count, to warm up (turns before 0), or to measure."""
    method = METHODS[row.method]
    arguments, seed = setting.call(method), max(0, turn)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", FdplugWarning)
            warnings.simplefilter("error", NoEffectWarning)  # then there is nothing to measure
            with method.enter(setting.pipe, setting.architecture):
                if first:
                    cost = measurement.counted(setting.pipe, setting.networks, arguments, setting.device, seed)
                    row.gflops, row.peak_bytes = cost.gflops / setting.batch, cost.peak
                    return
                timing = measurement.timed(setting.pipe, setting.networks, arguments, setting.device, seed)
    except Exception as error:  # whatever a peer does, the others are measured
        row.reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        return
    if turn >= 0:
        row.networks.append(timing.networks / setting.batch)
        row.total.append(timing.total / setting.batch)
    if turn == 0:
        images[row.method] = timing.images
        row.psnr_db = measurement.psnr(timing.images, images["stock"]) if "stock" in images else math.nan


def settings(given: argparse.Namespace) -> Iterator[Setting]:
    """Yield every pipeline with every batch; a pipeline is built when its turn comes."""
    for name in given.systems:
        architecture = ARCHITECTURES[name]
        pipe = architecture.make(given.size, given.device, DTYPES[given.dtype])
        for batch in given.batches:
            pixels = given.image_size or architecture.image
            arguments = architecture.call(given.size, batch, pixels, given.device, DTYPES[given.dtype])
            yield Setting(
                name, architecture, pipe, batch, {**arguments, "num_inference_steps": given.steps}, given.device
            )


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as they are written: medians, spread and ratios to stock."""
    stock = {(row.architecture, row.batch): row for row in rows if row.method == "stock"}
    return [_summary(row, stock.get((row.architecture, row.batch))) for row in rows]


def _summary(row: Row, stock: Row | None) -> dict[str, Any]:
    known = {"architecture": row.architecture, "method": row.method, "batch": row.batch}
    if row.reason or not row.total:
        return {**known, "reason": row.reason or "no round was measured"}
    result: dict[str, Any] = {**known, "gflops": round(row.gflops, 6), "peak_mib": round(row.peak_bytes / 2**20, 2)}
    for name in ("networks", "total"):
        values = getattr(row, name)
        result[f"{name}_s"] = round(statistics.median(values), 5)
        result[f"{name}_spread_s"] = [round(min(values), 5), round(max(values), 5)]
        if stock is not None and stock.total:
            result[f"{name}_speedup"] = round(statistics.median(getattr(stock, name)) / statistics.median(values), 3)
    if not math.isnan(row.psnr_db):
        result["psnr_db"] = "same" if math.isinf(row.psnr_db) else round(row.psnr_db, 1)
    return result


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown, one table per pipeline and batch."""
    parts = []
    for name, batch in dict.fromkeys((row["architecture"], row["batch"]) for row in found):
        parts.append(f"### {ARCHITECTURES[name].title}, batch {batch}\n")
        parts.append(f"Key steps of propagation: `{ARCHITECTURES[name].policy}`.\n")
        parts.append(
            "| method | networks s/image | speed-up | total s/image | speed-up | GFLOPs | peak MiB | PSNR dB |"
        )
        parts.append("|---|---|---|---|---|---|---|---|")
        parts += [_line(row) for row in found if (row["architecture"], row["batch"]) == (name, batch)]
        parts.append("")
    return "\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    title = METHODS[row["method"]].title
    if "reason" in row:
        return f"| {title} | - | - | - | - | - | - | {row['reason'].replace('|', '/')} |"
    cells = [title]
    for name in ("networks", "total"):
        low, high = row[f"{name}_spread_s"]
        cells += [f"{row[f'{name}_s']:.4g} ({low:.4g} to {high:.4g})", f"{row.get(f'{name}_speedup', '-')}"]
    cells += [f"{row['gflops']:.5g}", f"{row['peak_mib']:.1f}", f"{row.get('psnr_db', '-')}"]
    return f"| {' | '.join(cells)} |"


def targets(found: Sequence[dict[str, Any]], aimed_at: bool) -> str:
    """Return what should hold on a GPU beside what was measured there; in another setting it is unmeasured."""
    lines = [] if aimed_at else [f"On a GPU: unmeasured; `{GPU}`.", ""]
    lines += ["| on one GPU, 512 x 512, float16, DDIM-50, batch 1 | least speed-up | measured |", "|---|---|---|"]
    seconds = {
        (row["architecture"], row["method"]): row["networks_s"]
        for row in found
        if row["batch"] == 1 and "reason" not in row
    }
    for name, method, to, least in TARGETS:
        one, other = seconds.get((name, method)), seconds.get((name, to))
        measured = f"{other / one:.2f}" if aimed_at and one and other else "unmeasured"
        lines.append(
            f"| {ARCHITECTURES[name].title}: {METHODS[method].title} over {METHODS[to].title} | {least} | {measured} |"
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return what the command line takes."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description=(__doc__ or "").splitlines()[0]
    )
    made.add_argument("--size", choices=("tiny", "full"), default="tiny", help="tiny stand-ins, or the real sizes")
    made.add_argument("--systems", nargs="+", choices=[*ARCHITECTURES], default=LARGE, metavar="NAME")
    made.add_argument("--methods", nargs="+", choices=[*METHODS], default=[*METHODS], metavar="NAME")
    made.add_argument("--batches", nargs="+", type=int, default=[1], help="images per call")
    made.add_argument("--dtype", choices=[*DTYPES], default="float32")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--steps", type=int, default=50, help="steps of DDIM")
    made.add_argument(
        "--image-size", type=int, help="width and height in pixels at full size; the model's own otherwise"
    )
    made.add_argument("--warm-up", type=int, default=1, help="rounds before those that are measured")
    made.add_argument("--rounds", type=int, default=5, help="rounds that are measured")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    made.add_argument("--name", help="file name of the results, without its ending")
    made.epilog = f"systems: {', '.join(ARCHITECTURES)}; methods: {', '.join(METHODS)}"
    return made


def provenance(given: argparse.Namespace) -> dict[str, Any]:
    """Return how the results came about."""
    from importlib.metadata import version
    from importlib.util import find_spec

    on_gpu = given.device.startswith("cuda")
    told = {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()}
    return {
        "settings": {key: value for key, value in told.items() if key not in ("out", "name")},
        "device": torch.cuda.get_device_name(given.device) if on_gpu else "cpu",
        "cuda": torch.version.cuda if on_gpu else None,
        "load": [round(value, 2) for value in os.getloadavg()],
        "peers": {name: version(name) for name in PEERS if find_spec(name.replace("-", "_")) is not None},
        **hardware(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and keep the results as JSON and Markdown."""
    given = parser().parse_args(arguments)
    rows: list[Row] = []
    with Progress() as progress:
        for setting in settings(given):
            rows += measure(setting, given.methods, given.warm_up, given.rounds, progress)
    found, about = summary(rows), provenance(given)
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.name or f"side-by-side-{given.size}-{given.device.split(':')[0]}"
    (given.out / f"{stem}.json").write_text(json.dumps({**about, "rows": found}, indent=1) + "\n")
    text = page(about, found)
    (given.out / f"{stem}.md").write_text(text)
    print(text)


def page(about: dict[str, Any], found: Sequence[dict[str, Any]]) -> str:
    """Return all results as Markdown, in sections that a page of the documentation can take one by one."""
    sections = {"rows": f"{heading(about)}\n\n{table(found)}", "targets": f"{targets(found, is_aimed_at(about))}\n"}
    return "\n".join(
        f"<!-- --8<-- [start:{name}] -->\n\n{text}\n<!-- --8<-- [end:{name}] -->\n" for name, text in sections.items()
    )


def is_aimed_at(about: dict[str, Any]) -> bool:
    """Whether the setting is that of the targets."""
    how = about["settings"]
    wanted = (how["size"], how["dtype"], how["steps"]) == ("full", "float16", 50) and how["image_size"] in (None, 512)
    return wanted and about["device"] != "cpu"


def heading(about: dict[str, Any]) -> str:
    """Return on what and how the results were measured."""
    how, where = about["settings"], about["device"]
    if where == "cpu":
        where = f"{about['processor']}, threads: {about['threads']}"
    ddim = all(name in LARGE for name in how["systems"])
    steps = f"DDIM-{how['steps']}" if ddim else f"{how['steps']} steps of each pipeline's own sampler"
    return (
        f"{where}; torch {about['torch']}, diffusers {about['diffusers']}; {how['size']} size, {how['dtype']}, "
        f"{steps}, medians of {how['rounds']} interleaved rounds (smallest to largest), random weights."
    )


if __name__ == "__main__":
    main()
