"""The pictures of a row: generated a piece of the captions at a time, kept, and timed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.frontier.rows import Row
from benchmarks.frontier.testbeds import OTHERS, TESTBEDS, Testbed
from fdplug import propagate, registry, row_wise
from fdplug.pipeline import find_family
from fdplug.predict.generation.loading import load_pipeline
from fdplug.shapes import annotations_file, call_options
from fdplug.shapes.annotations import references

CHUNK = 48


def testbed(options: argparse.Namespace) -> Testbed:
    """Return what is known of the model, and of what is replayed."""
    return TESTBEDS[options.model] if options.reference is None else OTHERS[options.reference]


def starts(options: argparse.Namespace) -> range:
    """Return at which captions the pieces begin in which pictures are kept."""
    return range(options.first, options.first + options.captions, CHUNK)


def kept(options: argparse.Namespace, row: Row, start: int) -> Path:
    """Return where the pictures of a row for the captions from `start` on are kept."""
    until = _end(options, start)
    before = "" if testbed(options).unet else f"{options.model}-"
    return options.out / "pictures" / f"{before}{row.name}-g{options.guidance:g}-{start}-{until}.pt"


def stem(options: argparse.Namespace) -> str:
    """Return what files of figures are called."""
    return f"{testbed(options).stem}-g{options.guidance:g}{'-unseen' if options.first else ''}"


def seconds_file(options: argparse.Namespace) -> Path:
    """Return where interleaved seconds are kept."""
    return options.out / f"{testbed(options).stem.replace('frontier', 'seconds')}-g{options.guidance:g}.json"


def generate(options: argparse.Namespace, row: Row, start: int) -> None:
    """Generate the pictures of a row for one piece of the captions, with seconds and GFLOPs, unless they are there."""
    path = kept(options, row, start)
    if path.exists():
        return
    record = generated(options, row, start, _end(options, start))
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


def stored(options: argparse.Namespace, row: Row) -> dict[str, Any]:
    """Return a row's pictures in [0, 1], and its seconds and GFLOPs per image."""
    pieces = [torch.load(kept(options, row, start), weights_only=True) for start in starts(options)]
    images = torch.cat([piece["images"] for piece in pieces]).float() / 255
    seconds = {name: sum(piece[name] for piece in pieces) / len(images) for name in ("seconds", "denoiser")}
    return {"images": images, "gflops": pieces[0]["gflops"], **seconds}


def timed(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Run the reference and the tuned rows in turns, a batch of each; keep the denoiser's least seconds per image."""
    least: dict[str, float] = {}
    for _ in range(options.time):
        for row in rows:
            if row.family in ("reference", "tuned"):
                taken = generated(options, row, 0, options.batch)["denoiser"] / options.batch
                least[row.name] = min(taken, least.get(row.name, taken))
    seconds_file(options).write_text(json.dumps(least, indent=1) + "\n")


def _end(options: argparse.Namespace, start: int) -> int:
    return min(start + CHUNK, options.first + options.captions)


class _Timer:
    """Adds up the processor seconds inside a network's forward."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.seconds, self._started = 0.0, 0.0
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)

    @row_wise
    def _begin(self, *_: Any) -> None:
        self._started = time.process_time()

    @row_wise
    def _end(self, *_: Any) -> None:
        self.seconds += time.process_time() - self._started


def _plain_gflops(pipe: Any, model: str, steps: int) -> float:
    """Return the GFLOPs per image of a plain run of so many steps, guided: every step costs the same."""
    with propagate(pipe, policy="all", injector="none") as on:
        call = {"num_inference_steps": 2, "output_type": "latent", "guidance_scale": 2.0}
        pipe(["a red circle"], **call, **call_options(model))
        return on.ledger.gflops() * steps / len(on.ledger.steps)
