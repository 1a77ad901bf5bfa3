"""What fewer steps, and propagation, cost on `shapes`: ``python -m benchmarks.shapes_curve.curve --out outputs/curve``.

Every method draws the same held-out captions from the same noise. Pictures are kept in OUT/pictures, so that an
interrupted run goes on where it stopped; the figures are written to OUT/curve.json, .csv, .md and .png.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import multiprocessing

from benchmarks.shapes_curve.methods import Method, chosen
from fdplug.shapes import GUIDANCE
from fdplug.shapes.annotations import references

BATCH = 32


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.shapes_curve.curve", description=__doc__)
    described.add_argument("--out", type=Path, required=True, help="folder for pictures and figures")
    described.add_argument("--captions", type=int, default=256, help="how many of the held-out captions, in id order")
    described.add_argument("--guidance", type=float, default=GUIDANCE)
    described.add_argument("--seed", type=int, default=0, help="picture i starts from seed + i")
    described.add_argument("--processes", type=int, default=2, help="methods generated at a time, one thread each")
    described.add_argument("--methods", nargs="+", metavar="NAME", help="only these, and DDIM-50; all by default")
    described.add_argument("--folder", type=Path, help="an exported training run instead of the package's model")
    return described


def picture_path(out: Path, method: Method, options: argparse.Namespace) -> Path:
    """Where the pictures of a method are kept: a file for each number of captions, seed and guidance."""
    return out / "pictures" / f"{method.slug}-{options.captions}-{options.seed}-{options.guidance:g}.pt"


def draw_pictures(options: argparse.Namespace, method: Method) -> str:
    """Generate the pictures of one method, 8-bit, unless they are there already; return its name."""
    from fdplug.shapes import generate

    path = picture_path(options.out, method, options)
    if path.exists():
        return method.name
    torch.set_num_threads(1)
    pipe = generate.load_pipeline(None if options.folder is None else options.folder / "pipeline")
    captions = [record.caption for record in references()[: options.captions]]
    seeds = range(options.seed, options.seed + len(captions))
    settings = {"seeds": seeds, "steps": method.steps, "guidance": options.guidance, "batch_size": BATCH}
    with method.applied(pipe):
        started = time.process_time()
        images = generate.generate(pipe, captions, **settings)
    seconds = (time.process_time() - started) / len(captions)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"images": (images * 255).round().byte(), "cpu_s": seconds}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    return method.name


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, score and write everything."""
    from benchmarks.shapes_curve.curve_scores import score_methods

    options = parser().parse_args(arguments)
    methods = chosen(options.methods)
    with Progress() as progress, multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        bar = progress.add_task("generating", total=len(methods))
        costly_first = sorted(methods, key=lambda method: (method.policy is not None, -method.steps))
        for name in pool.imap_unordered(partial(draw_pictures, options), costly_first):
            progress.update(bar, advance=1, description=name)
    torch.set_num_threads(1)
    finish(score_methods(options), options.out)


def finish(record: dict[str, Any], out: Path) -> None:
    """Write the figures into `out` and print the table."""
    from benchmarks.shapes_curve.curve_figures import write_figures

    write_figures(record, out)
    print((out / "curve.md").read_text(), end="")


if __name__ == "__main__":
    main()
