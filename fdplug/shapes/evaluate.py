"""How well the `shapes` model follows held-out captions: ``python -m fdplug.shapes.evaluate``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from fdplug.shapes import GUIDANCE, evaluators, generate
from fdplug.shapes.annotations import references
from fdplug.shapes.coding import decode, encode
from fdplug.shapes.scene import random_scene
from fdplug.shapes.training.batches import batch_of

COLUMNS = ("layout", "background", "size", "colour", "shape", "all", "clip_analogue", "frechet_x1000")
REFERENCE_SEED = 4000
REFERENCE_PICTURES = 4000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m fdplug.shapes.evaluate", description=__doc__)
    described.add_argument("--captions", type=int, default=500, help="how many of the held-out captions, in id order")
    described.add_argument("--steps", type=int, default=50)
    described.add_argument("--sampler", choices=tuple(generate.SAMPLERS), default="ddim")
    described.add_argument("--guidance", type=float, default=GUIDANCE)
    described.add_argument("--seed", type=int, default=0, help="picture i starts from seed + i")
    described.add_argument("--batch-size", type=int, default=50)
    described.add_argument("--device", default="cpu")
    described.add_argument("--threads", type=int, default=1, help="CPU threads; more are slower for so small a model")
    described.add_argument("--folder", type=Path, help="an exported training run instead of the package's model")
    described.add_argument("--json", type=Path, help="also write the figures to this file")
    return described


def evaluate(options: argparse.Namespace, progress: Progress | None = None) -> dict[str, Any]:
    """Score drawn, reconstructed, generated and mismatched pictures of the first held-out captions."""
    records = references()[: options.captions]
    captions, drawn = [r.caption for r in records], batch_of([r.scene for r in records]).images
    folder = options.folder
    pipe = generate.load_pipeline(None if folder is None else folder / "pipeline", options.device)
    generate.use_sampler(pipe, options.sampler)
    started, cpu = time.perf_counter(), time.process_time()
    made = _generate(pipe, captions, options, progress)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    pictures = {"drawn": drawn, "vae": _reconstructed(pipe, drawn), "generated": made}
    judges = evaluators.load(options.device, None if folder is None else folder / "evaluators")
    reference = judges.embed_images(_reference())
    rows = {name: score(judges, images, captions, reference) for name, images in pictures.items()}
    rows["drawn, captions shifted"] = score(judges, drawn, [*captions[1:], captions[0]], reference)
    settings = {key: getattr(options, key) for key in ("captions", "steps", "sampler", "guidance", "seed")}
    return {
        "settings": settings,
        "wall_s_per_image": wall / len(made),
        "cpu_s_per_image": cpu / len(made),
        "rows": rows,
    }


def score(
    judges: evaluators.Evaluators, images: Tensor, captions: Sequence[str], reference: Tensor
) -> dict[str, float]:
    """Mean of every verdict, mean caption cosine, and the Frechet distance to the features `reference` times 1000."""
    verdict = {name: right.float().mean().item() for name, right in judges.semantics(images, captions).items()}
    distance = evaluators.frechet_distance(judges.embed_images(images), reference)
    cosine = judges.clip_score(images, captions).mean().item()
    return {**verdict, "clip_analogue": cosine, "frechet_x1000": 1000 * distance}


def table(result: dict[str, Any]) -> Table:
    """The figures of `evaluate` as a table."""
    drawn = Table("pictures", *COLUMNS, title=", ".join(f"{k} {v}" for k, v in result["settings"].items()))
    for name, row in result["rows"].items():
        drawn.add_row(name, *(f"{row[column]:.3f}" for column in COLUMNS))
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the evaluation and print its table."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    with Progress() as progress:
        result = evaluate(options, progress)
    console = Console()
    console.print(table(result))
    console.print(f"{result['wall_s_per_image']:.3f} s/image wall, {result['cpu_s_per_image']:.3f} CPU-s/image")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def _generate(pipe: Any, captions: list[str], options: argparse.Namespace, progress: Progress | None) -> Tensor:
    bar = None if progress is None else progress.add_task("generating", total=len(captions))
    return generate.generate(
        pipe,
        captions,
        seeds=range(options.seed, options.seed + len(captions)),
        steps=options.steps,
        guidance=options.guidance,
        batch_size=options.batch_size,
        after_batch=lambda count: None if progress is None or bar is None else progress.advance(bar, count),
    )


def _reference() -> Tensor:
    """Drawn pictures, other than those of the captions, for the Frechet distance."""
    rng = np.random.default_rng(REFERENCE_SEED)
    return batch_of([random_scene(rng) for _ in range(REFERENCE_PICTURES)]).images


@torch.inference_mode()
def _reconstructed(pipe: Any, images: Tensor) -> Tensor:
    return decode(pipe.vae, encode(pipe.vae, images.to(pipe.device))).cpu()


if __name__ == "__main__":
    main()
