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
from fdplug.errors import ConfigError, DataError
from fdplug.files.writing import writable_file, write_text
from fdplug.predict.comparison.folders import Evaluation, ImageSet
from fdplug.predict.comparison.folders_table import print_table
from fdplug.predict.comparison.progress import bars
from fdplug.predict.comparison.scoring import Networks, Spec, built, parse_scores
from fdplug.predict.data.captions import read_captions
from fdplug.predict.data.references import ReferenceImages
from fdplug.predict.generation.generate import LARGEST_SIZE
from fdplug.predict.storage.names import IMAGE, VIDEO
from fdplug.scores import BASELINE, CAPTIONS
from fdplug.scores.features import SHAPES
from fdplug.scores.features.extractors import load_extractor
from fdplug.scores.features.frechet import Moments
from fdplug.scores.features.images import ImageFolder
from fdplug.scores.features.reference import Reference
from fdplug.scores.features.statistics import FeatureStatistics, save_statistics
from fdplug.scores.fid import Fid
from fdplug.scores.fidelity import Fidelity
from fdplug.scores.score_set import ScoreSet
from fdplug.scores.temporal import Motion, Temporal
from fdplug.shapes import CAPTIONS as EMBEDDED
from fdplug.shapes import MODELS


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
    networks = Networks(extractor=options.extractor, clip=options.clip_model, allow_pickle=options.allow_pickle)
    device = pipelines.device(options.device)
    if options.out:
        writable_file(Path(options.out))
    if options.save_statistics:
        _save_statistics(options, device, console)
        return []
    sets = [ImageSet.of(folder, options.annotations) for folder in options.folders]
    baseline = None if options.baseline is None else ImageSet.of(options.baseline, options.annotations)
    made = _media([*sets, *([baseline] if baseline else [])])
    scores = built(chosen(options.scores, sets, options, made), networks)
    scores.check_media(made)
    _check(scores, sets, baseline, options)
    rows = _rows(scores, sets, baseline, device, options, console)
    print_table(rows, console)
    if options.out:
        write_text(json.dumps(rows, indent=2) + "\n", Path(options.out))
        console.print(f"Written to {options.out}", highlight=False)
    return rows


def _media(sets: list[ImageSet]) -> str:
    """Return what all folders hold.

    Raises:
        DataError: some hold images, others videos.
    """
    found = {one.media: one.images.folder for one in sets}
    if len(found) > 1:
        raise DataError(f"{found[IMAGE]} holds images, {found[VIDEO]} videos; evaluate them one after the other")
    return next(iter(found))


def chosen(given: str, sets: list[ImageSet], options: argparse.Namespace, made: str = IMAGE) -> list[Spec]:
    """Return the scores for `--scores`: all that can be computed for `auto`, or names with commas between."""
    if given != "auto":
        return parse_scores(given)
    pairs: list[Spec] = [Fidelity.name] if options.baseline else []
    if made == VIDEO:
        return [Temporal.name, *([Motion.name] if options.baseline else []), *pairs]
    if options.annotations in EMBEDDED or all(one.model in MODELS for one in sets):
        return [SHAPES, *pairs]
    return [*([Fid.name] if options.real_images else []), *pairs] or _nothing()


def _nothing() -> list[Spec]:
    raise ConfigError("nothing to compute: give --real-images, --baseline, or name --scores such as clip or is")


def _check(scores: ScoreSet, sets: list[ImageSet], baseline: ImageSet | None, options: argparse.Namespace) -> None:
    """Refuse what cannot be computed before any network is loaded."""
    if scores.need(CAPTIONS):
        for one in (*sets, *([baseline] if baseline else [])):
            one.need_captions()
    # those of the embedded models bring their own real images
    comparing = [name for name in scores.comparing if not name.startswith(SHAPES)]
    if comparing and options.real_images is None:
        needed = "a folder of them, or for fid a file of their statistics"
        raise ConfigError(f"{' and '.join(comparing)}: give --real-images, {needed}")
    if scores.need(BASELINE) and baseline is None:
        pairs = " and ".join(scores.need(BASELINE))
        raise ConfigError(f"{pairs}: give --baseline, the folder of the un-accelerated images")
    scores.check_parts()
    for one in sets:
        scores.check(one.captions)
    for one in sets if baseline else ():
        one.need_same_names(baseline)


def _rows(
    scores: ScoreSet,
    sets: list[ImageSet],
    baseline: ImageSet | None,
    device: Any,
    options: argparse.Namespace,
    console: Console,
) -> list[dict[str, Any]]:
    with bars(console) as progress:
        task = progress.add_task("real images", total=None, visible=bool(scores.comparing))
        reference = _reference(options, scores, sets[0], lambda count: progress.advance(task, count))
        progress.update(task, total=None if reference is None else len(reference) * scores.num_extractions)
        scores.load(device)
        evaluation = Evaluation(scores, reference, options.batch_size)
        return evaluation.run(sets, baseline, options.seconds, progress)


def _reference(options: argparse.Namespace, scores: ScoreSet, first: ImageSet, advance: Any) -> Reference | None:
    """The real images; for the scores of the embedded model its drawn scenes."""
    given: Any = options.real_images
    if given is None or given in EMBEDDED:
        if given is None and not any(name.startswith(SHAPES) for name in scores.names):
            return None
        own = [one for one in (given, options.annotations, first.model, SHAPES) if one in EMBEDDED]
        given = ReferenceImages(read_captions(own[0]))
    size = (options.size, options.size) if options.size else first.size()
    return Reference(given, size, advance)


def _save_statistics(options: argparse.Namespace, device: Any, console: Console) -> None:
    if len(options.folders) > 1:
        raise ConfigError("--save-statistics takes the images of one folder")
    Fid(options.extractor).check([])
    folder = ImageFolder(options.folders[0])
    size = (options.size, options.size) if options.size else None
    extractor = load_extractor(options.extractor, device, options.allow_pickle)
    with bars(console) as progress:
        task = progress.add_task("real images", total=len(folder))
        reference = Reference(folder, size, lambda count: progress.advance(task, count))
        statistics = reference.statistics(extractor)
    moments = statistics.compute() if isinstance(statistics, FeatureStatistics) else statistics
    path = save_statistics(Moments(*moments), options.save_statistics, extractor=extractor.name, size=size)
    console.print(f"Written to {path}: {moments.count} images, {extractor.name}", highlight=False)
