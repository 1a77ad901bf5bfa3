"""Where fewer steps win and where replaying does, on an embedded model: ``python -m benchmarks.frontier --out FOLDER``.

The reference is the model's own run: DDIM-50 of `shapes`, 28 Euler steps of `shapes-flow`. Every row generates the same
held-out captions from the same noise, 48 at a time; its pictures are kept in OUT/pictures, so that an interrupted run
goes on where it stopped, and a greater --captions only adds. ``--time`` runs the reference and the tuned rows in turns
and keeps the least seconds of each; ``--report`` writes OUT/frontier-gG.json, .md and .png, G the guidance (of
`shapes-flow`: frontier-shapes-flow-gG), from whatever rows are there. ``--add-to`` keeps the rows of such a file whose
pictures are not there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.frontier_rows import TESTBEDS, Found, Row, Testbed, rows
from fdplug import propagate, registry
from fdplug.pipeline import find_family
from fdplug.predict.generation.loading import load_pipeline
from fdplug.shapes import annotations_file, call_options
from fdplug.shapes.annotations import references

CHUNK = 48


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__)
    add = described.add_argument
    add("--out", type=Path, required=True, help="folder for pictures and figures")
    add("--model", choices=TESTBEDS, default="shapes")
    add("--captions", type=int, default=192, help="how many of the held-out captions, in id order")
    add("--guidance", type=float, help="default: 7.5 of shapes, 4 of shapes-flow")
    add("--batch", type=int, default=16)
    add("--only", nargs="+", default=[""], metavar="START", help="rows whose names begin so")
    add("--budgets", type=int, nargs="+", help="denoiser calls; default: those of the model's table")
    add("--tuned", type=Path, help="what `fdplug tune --part trunk` wrote, for the tuned rows")
    add("--keys", type=Path, help="what `benchmarks.frontier_keys` wrote, for parts with key steps of their own")
    add("--rules", type=Path, help="what `benchmarks.frontier_rules` wrote, for the residual caches")
    add("--time", type=int, metavar="ROUNDS", help="time the reference and the tuned rows")
    add("--report", action="store_true", help="write the figures of the rows that are there")
    add(
        "--add-to",
        type=Path,
        metavar="JSON",
        help="with --report: keep this file's rows of which there are no pictures",
    )
    return described


def kept(options: argparse.Namespace, row: Row, start: int) -> Path:
    """Return where the pictures of a row for the captions from `start` on are kept."""
    until = min(start + CHUNK, options.captions)
    before = "" if testbed(options).unet else f"{options.model}-"
    return options.out / "pictures" / f"{before}{row.name}-g{options.guidance:g}-{start}-{until}.pt"


def testbed(options: argparse.Namespace) -> Testbed:
    """Return what is known of the model."""
    return TESTBEDS[options.model]


def starts(options: argparse.Namespace) -> range:
    """Return at which captions the pieces begin in which pictures are kept."""
    return range(0, options.captions, CHUNK)


def seconds_file(options: argparse.Namespace) -> Path:
    """Return where interleaved seconds are kept."""
    return options.out / f"{testbed(options).stem.replace('frontier', 'seconds')}-g{options.guidance:g}.json"


def generate(options: argparse.Namespace, row: Row, first: int) -> None:
    """Generate the pictures of a row for one piece of the captions, with seconds and GFLOPs, unless they are there."""
    path = kept(options, row, first)
    if path.exists():
        return
    record = generated(options, row, first, min(first + CHUNK, options.captions))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(record, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    print(f"{path.stem}: {record['seconds']:.1f} s", flush=True)


def generated(options: argparse.Namespace, row: Row, first: int, until: int) -> dict[str, Any]:
    """Return the pictures of a row for some of the captions, the processor seconds they took, and GFLOPs per image."""
    pipe = load_pipeline(options.model)
    sampler = registry.build("sampler", row.sampler)
    pipe.scheduler = sampler.fit(pipe.scheduler)
    captions = [record.caption for record in references(annotations_file(options.model))[:until]]
    timer = _Timer(find_family(pipe)[1])
    images, seconds, gflops = [], 0.0, 0.0
    with nullcontext() if row.settings is None else propagate(pipe, **row.settings) as handle:
        for start in range(first, until, options.batch):
            batch = captions[start : min(start + options.batch, until)]
            seeds = [torch.Generator().manual_seed(start + index) for index, _ in enumerate(batch)]
            call = {"guidance_scale": options.guidance, "generator": seeds, "output_type": "pt"}
            started = time.process_time()
            images.append(pipe(batch, **sampler.arguments(row.steps), **call, **call_options(options.model)).images)
            seconds += time.process_time() - started
            gflops += 0.0 if handle is None else handle.ledger.gflops()
    each = _plain_gflops(pipe, options.model, row.steps) if row.settings is None else gflops / (until - first)
    pixels = (torch.cat(images) * 255).round().byte()
    return {"images": pixels, "seconds": seconds, "denoiser": timer.seconds, "gflops": each}


def timed(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Run the reference and the tuned rows in turns, a batch of each; keep the denoiser's least seconds per image."""
    least: dict[str, float] = {}
    for _ in range(options.time):
        for row in rows:
            if row.family in ("reference", "tuned"):
                taken = generated(options, row, 0, options.batch)["denoiser"] / options.batch
                least[row.name] = min(taken, least.get(row.name, taken))
    seconds_file(options).write_text(json.dumps(least, indent=1) + "\n")


class _Timer:
    """Adds up the processor seconds inside a network's forward."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.seconds, self._started = 0.0, 0.0
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self._started = time.process_time()

    def _end(self, *_: Any) -> None:
        self.seconds += time.process_time() - self._started


def _plain_gflops(pipe: Any, model: str, steps: int) -> float:
    """Return the GFLOPs per image of a plain run of so many steps, guided: every step costs the same."""
    with propagate(pipe, policy="all", injector="none") as on:
        call = {"num_inference_steps": 2, "output_type": "latent", "guidance_scale": 2.0}
        pipe(["a red circle"], **call, **call_options(model))
        return on.ledger.gflops() * steps / len(on.ledger.steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate what is missing, or write the figures."""
    options = parser().parse_args(arguments)
    options.guidance = testbed(options).guidance if options.guidance is None else options.guidance
    torch.set_num_threads(1)
    found = Found(tuned=options.tuned, keys=options.keys, rules=options.rules)
    chosen = list(rows(testbed(options), found, options.budgets))
    if options.report:
        from benchmarks.frontier_figures import write

        write(options, [row for row in chosen if all(kept(options, row, start).exists() for start in starts(options))])
        return
    if options.time:
        timed(options, chosen)
        return
    for start in starts(options):
        for row in chosen:
            if row.name.startswith(tuple(options.only)):
                generate(options, row, start)


if __name__ == "__main__":
    main()
