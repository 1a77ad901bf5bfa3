"""What fewer steps, and propagation, cost on the embedded models.

``python -m benchmarks.shapes_curve.curve --out FOLDER`` measures it.

Every method generates the same held-out captions from the same noise, as `fdplug compare` does it: batch by batch in
turn, on one thread, the images and the state of the run in OUT, so that an interrupted run goes on where it stopped.
The figures are written to OUT/curve.json, .csv, .md and .png.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.shapes_curve.curve_figures import write_figures
from benchmarks.shapes_curve.curve_scores import Judge, Pictures, model_of, score_methods
from benchmarks.shapes_curve.methods import METHODS, chosen, usual
from fdplug.errors import DataError
from fdplug.predict.comparison.batch_plan import plan
from fdplug.predict.comparison.progress import LiveWatcher, bars
from fdplug.predict.comparison.results import ResultFolder
from fdplug.predict.comparison.runner import Comparison
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.loading import load_pipeline, own_settings
from fdplug.predict.storage.image_store import ImageStore
from fdplug.profiling.provenance import networks
from fdplug.scores.score_set import ScoreSet
from fdplug.settings import plain
from fdplug.shapes import FLOW, annotations_file
from fdplug.shapes.annotations import Reference, references

BATCH = 48
EVALUATED_AT = {"shapes": 7.5, "shapes-flow": 4.0}
"""The guidance of the default evaluation of each model."""
SETTINGS = ("captions", "guidance", "seed")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.shapes_curve.curve", description=__doc__)
    described.add_argument("--out", type=Path, required=True, help="folder for pictures and figures")
    described.add_argument("--captions", type=int, default=256, help="how many of the held-out captions, in id order")
    described.add_argument("--model", choices=("shapes", FLOW), default="shapes", help="which of the embedded models")
    described.add_argument("--guidance", type=float, help="by default 7.5 for shapes, 4 for shapes-flow")
    described.add_argument("--seed", type=int, default=0, help="picture i starts from seed + i")
    described.add_argument("--set", choices=METHODS, help="which methods; by default best, or those of shapes-flow")
    described.add_argument("--methods", nargs="+", metavar="NAME", help="only these of the set, and the baselines")
    described.add_argument("--folder", type=Path, help="an exported training run instead of the package's model")
    described.add_argument("--finished", action="store_true", help="generate nothing: score the methods that OUT has")
    described.add_argument("--overwrite", action="store_true", help="replace the pictures of other settings in OUT")
    return described


def generate(
    options: argparse.Namespace, methods: Sequence[Variant], records: Sequence[Reference]
) -> dict[str, Pictures]:
    """Generate what is not there yet; return every method's pictures, and the denoiser's calls."""
    model = model_of(options.folder, options.model)
    generation = GenerationConfig(guidance=options.guidance).resolved(**own_settings(options.model))
    captions = [Caption(one.id, one.caption, seed=options.seed + place) for place, one in enumerate(records)]
    given = {name: getattr(options, name) for name in SETTINGS}
    settings = plain({**given, "model": model, "methods": [vars(method) for method in methods]})
    folder = ResultFolder(options.out, options.overwrite)
    folder.check(settings)
    pipe = load_pipeline(model)
    checkpoint = folder.begin(settings, networks(pipe))
    console = Console(stderr=True)
    try:
        with bars(console) as progress:
            comparison = Comparison(pipe, methods, generation, lambda: ScoreSet([]))
            rounds = [replace(one, warm_up=False, timed=False) for one in plan(captions, BATCH) if one.keep]
            watcher = LiveWatcher(console, progress, len(rounds) * len(methods), len(methods))
            runs = comparison.run(rounds, watcher, checkpoint)
    finally:
        checkpoint.close()
        folder.end()
    store = ImageStore(options.out)
    return {run.variant.name: Pictures(images_of(store, run.variant, captions), run.denoiser_calls) for run in runs}


def finished(
    options: argparse.Namespace, methods: Sequence[Variant], records: Sequence[Reference]
) -> dict[str, Pictures]:
    """The pictures of the methods that an earlier run in the folder has finished."""
    store, found = ImageStore(options.out), {}
    captions = [Caption(one.id, one.caption) for one in records]
    for method in methods:
        if all(store.read(method.name, one.id) is not None for one in records):
            found[method.name] = Pictures(images_of(store, method, captions), method.resolved_steps)
    return found


def images_of(store: ImageStore, method: Variant, captions: Sequence[Caption]) -> Tensor:
    """Return the pictures of a method, (N, 3, H, W) in [0, 1].

    Raises:
        DataError: one of them holds not-a-number.
    """
    found = [store.read(method.name, caption.image_id) for caption in captions]
    images = [one.image for one in found if one is not None and one.image is not None]
    if len(images) < len(captions):
        raise DataError(f"{method.name}: {len(captions) - len(images)} pictures hold not-a-number; leave it out")
    return torch.stack(images).float() / 255


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, score and write everything."""
    options = parser().parse_args(arguments)
    if options.guidance is None:
        options.guidance = EVALUATED_AT[options.model]
    torch.set_num_threads(1)
    methods = chosen(options.set or usual(options.model), options.methods)
    records = references(annotations_file(options.model))[: options.captions]
    pictures = (finished if options.finished else generate)(options, methods, records)
    methods = [method for method in methods if method.name in pictures]
    figures = score_methods(methods, pictures, Judge(records, options.model, options.folder))
    settings = {"model": options.model, **{name: getattr(options, name) for name in SETTINGS}}
    write_figures({"settings": settings, **figures}, options.out)
    print((options.out / "curve.md").read_text(), end="")


if __name__ == "__main__":
    main()
