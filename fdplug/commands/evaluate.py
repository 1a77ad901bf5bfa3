"""`fdplug evaluate`: scores of finished folders of images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from fdplug import checks
from fdplug.commands import pipelines
from fdplug.commands.options.evaluate import parser
from fdplug.errors import ConfigError
from fdplug.files.writing import writable_file, write_text
from fdplug.metrics.extractors import load_extractor
from fdplug.metrics.factory import COMPARING, MAKERS, Models, score_maker
from fdplug.metrics.frechet import Moments
from fdplug.metrics.images import ImageFolder
from fdplug.metrics.reference import Reference
from fdplug.metrics.statistics import FeatureStatistics, save_statistics
from fdplug.predict.comparison.folders import PAIRS, Evaluation, ImageSet
from fdplug.predict.comparison.folders_table import print_table
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import SHAPES, read_captions
from fdplug.predict.data.references import ReferenceImages
from fdplug.predict.generation.generate import LARGEST_SIZE

NAMES = (*MAKERS, *PAIRS, "ftc")


def main(argv: list[str]) -> int:
    """Run `fdplug evaluate` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug evaluate` with these options."""
    evaluate(options, Console())
    return 0


def evaluate(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Check everything, score everything, print a table; returns what the json holds."""
    checks.whole("batch-size", options.batch_size, 1)
    if options.size is not None:
        checks.whole("size", options.size, 8, LARGEST_SIZE)
    if options.seconds is not None:
        checks.number("seconds", options.seconds, 0)
    models = Models(
        extractor=options.extractor,
        clip=options.clip_model,
        allow_pickle=options.allow_pickle,
        device=pipelines.device(options.device),
    )
    if options.out:
        writable_file(Path(options.out))
    if options.save_statistics:
        _save_statistics(options, models, console)
        return []
    sets = [ImageSet.of(folder, options.annotations) for folder in options.folders]
    baseline = None if options.baseline is None else ImageSet.of(options.baseline, options.annotations)
    names = chosen(options.scores, sets, options)
    _check(names, sets, baseline, options)
    models.check(names)
    rows = _rows(names, sets, baseline, models, options, console)
    print_table(rows, console)
    if options.out:
        write_text(json.dumps(rows, indent=2) + "\n", Path(options.out))
        console.print(f"Written to {options.out}", highlight=False)
    return rows


def chosen(given: str, sets: list[ImageSet], options: argparse.Namespace) -> list[str]:
    """Names of the scores for `--scores`: all that can be computed for `auto`, or names with commas between."""
    if given == "auto":
        pairs = ["fidelity"] if options.baseline else []
        if options.annotations == SHAPES or all(one.model == SHAPES for one in sets):
            return [SHAPES, *pairs]
        return [*(["fid"] if options.real_images else []), *pairs] or _nothing()
    names = ["fidelity" if name in ("psnr", "ssim") else name for name in map(str.strip, given.split(","))]
    for name in names:
        checks.choice("score", name, NAMES)
    return list(dict.fromkeys(names))


def _nothing() -> list[str]:
    raise ConfigError("nothing to compute: give --real-images, --baseline, or name --scores such as clip or is")


def _check(names: list[str], sets: list[ImageSet], baseline: ImageSet | None, options: argparse.Namespace) -> None:
    """Refuse what cannot be computed before any network is loaded."""
    if {"clip", SHAPES} & set(names):
        for one in (*sets, *([baseline] if baseline else [])):
            one.need_captions()
    if SHAPES in names:
        from fdplug.metrics.shapes import check_captions

        for one in sets:
            check_captions(one.captions)
    if {"fid", "pr"} & set(names) and options.real_images is None:
        raise ConfigError("fid and pr need --real-images: a folder of them, or for fid a file of their statistics")
    if set(PAIRS) & set(names) and baseline is None:
        raise ConfigError(f"{' and '.join(PAIRS)} need --baseline: the folder of the un-accelerated images")
    if "ftc" in names and not {"fid", "clip"} <= set(names):
        raise ConfigError("ftc is made of FID and CLIP score; name --scores fid,clip,ftc")
    for one in sets if baseline else ():
        one.need_same_names(baseline)


def _rows(
    names: list[str],
    sets: list[ImageSet],
    baseline: ImageSet | None,
    models: Models,
    options: argparse.Namespace,
    console: Console,
) -> list[dict[str, Any]]:
    with bars(console) as progress:
        task = progress.add_task("real images", total=None, visible=bool(set(COMPARING) & set(names)))
        reference = _reference(options, names, sets[0], lambda count: progress.advance(task, count))
        progress.update(task, total=None if reference is None else len(reference))
        makers = {name: score_maker(name, models, reference) for name in names if name in MAKERS}
        evaluation = Evaluation(makers, names, models, options.batch_size)
        return evaluation.run(sets, baseline, options.seconds, progress)


def _reference(options: argparse.Namespace, names: list[str], first: ImageSet, advance: Any) -> Reference | None:
    """The real images; for the scores of the embedded model its drawn scenes."""
    given: Any = options.real_images
    if given in (None, SHAPES):
        if SHAPES not in names and given is None:
            return None
        given = ReferenceImages(read_captions(SHAPES))
    size = (options.size, options.size) if options.size else first.size()
    return Reference(given, size, advance)


def _save_statistics(options: argparse.Namespace, models: Models, console: Console) -> None:
    if len(options.folders) > 1:
        raise ConfigError("--save-statistics takes the images of one folder")
    models.check(["fid"])
    folder = ImageFolder(options.folders[0])
    size = (options.size, options.size) if options.size else None
    extractor = load_extractor(models.extractor, models.device, models.allow_pickle)
    with bars(console) as progress:
        task = progress.add_task("real images", total=len(folder))
        reference = Reference(folder, size, lambda count: progress.advance(task, count))
        statistics = reference.statistics(extractor)
    moments = statistics.compute() if isinstance(statistics, FeatureStatistics) else statistics
    path = save_statistics(Moments(*moments), options.save_statistics, extractor=extractor.name, size=size)
    console.print(f"Written to {path}: {moments.count} images, {extractor.name}", highlight=False)
