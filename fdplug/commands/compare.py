"""`fdplug compare`: the same captions by several variants, and one table."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from rich.console import Console

from fdplug import checks
from fdplug.commands import pipelines
from fdplug.commands.options import shared
from fdplug.commands.options.compare import parser
from fdplug.commands.options.shared import inline
from fdplug.errors import ConfigError, FdplugWarning
from fdplug.predict.comparison import feature_changes
from fdplug.predict.comparison.batch_plan import plan
from fdplug.predict.comparison.checkpoint import Checkpoint
from fdplug.predict.comparison.footnotes import equal_time_sentences, explanations
from fdplug.predict.comparison.progress import LiveWatcher, bars
from fdplug.predict.comparison.results import SHOWN, ResultFolder
from fdplug.predict.comparison.runner import Comparison
from fdplug.predict.comparison.scoring import AUTO, NONE, Networks, Scoring, chosen
from fdplug.predict.comparison.table import print_table, print_texts
from fdplug.predict.comparison.variant import DEFAULT_NAMES, FLOW_DEFAULT_NAMES, Variant, read_variants
from fdplug.predict.data.captions import SHAPES, Caption
from fdplug.predict.data.references import has_references
from fdplug.predict.data.subjects import has_texts, read_subjects, subjects_file
from fdplug.predict.data.subset import selection_hash
from fdplug.predict.generation.beyond_settings import beyond_settings
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import check_size
from fdplug.predict.generation.loaded_stages import (
    Stage,
    all_networks,
    check_stages,
    class_of_stage,
    final_size,
)
from fdplug.predict.generation.loading import load_pipeline, own_settings, pipeline_class, predicts_flow
from fdplug.predict.generation.loading_arguments import check_loading
from fdplug.predict.generation.media import kind_of
from fdplug.predict.storage.names import IMAGE
from fdplug.presets.fitting import check_preset
from fdplug.profiling.peak_memory import PeakMemory
from fdplug.profiling.provenance import hashes, provenance
from fdplug.report.write import write as write_report
from fdplug.settings import plain
from fdplug.shapes import CAPTIONS
from fdplug.suites import published, suite


def main(argv: list[str]) -> int:
    """Run `fdplug compare` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug compare` with these options."""
    compare(options, Console())
    return 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be compared, every option checked.

    Attributes:
        variants: the rows.
        captions: what every one of them generates.
        scoring: the scores.
        generation: guidance, size and seed; sampler and steps are each variant's own.
        given: the options that decide images and figures, by name.
    """

    variants: list[Variant]
    captions: list[Caption]
    scoring: Scoring
    generation: GenerationConfig
    given: Mapping[str, Any]

    def described(self) -> dict[str, Any]:
        """Everything that decides images and figures, as json holds it."""
        variants = {variant.name: vars(variant) for variant in self.variants}
        beyond = {
            one.name: beyond_settings(one.sampler, one.propagation, None, one.then or ()) for one in self.variants
        }
        found = {name: one for name, one in beyond.items() if one}
        selection = selection_hash(self.captions)
        return plain(
            {**self.given, "variants": variants, "selection": selection, **({"beyond": found} if found else {})}
        )


def compare(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Check everything, generate everything, write and print everything; returns what `results.json` holds."""
    request = _checked(options)
    folder = ResultFolder(options.out, options.overwrite)
    settings = request.described()
    folder.check(settings)
    pipe = load_pipeline(options.model, needs_prompt=False, **pipelines.loading(options))
    check_conditioning(pipe, request.captions, options.size, request.generation.arguments)
    check_size(pipe, options.size)
    for preset in shared.presets(options.variants or ()).values():
        check_preset(preset, pipe, options.size)
    stages = pipelines.stages(options, pipe, request.generation)
    checkpoint = folder.begin(settings, all_networks(pipe, stages))
    try:
        results = _results(request, pipe, stages, *_measured(request, console, pipe, stages, checkpoint))
        _write(folder, results, request)
    finally:
        folder.end()
    _print(console, results, folder)
    return results


def _checked(options: argparse.Namespace) -> Request:
    """Refuse every option that cannot be right, before any model is loaded."""
    checks.whole("limit", options.captions, 1)
    checks.whole("batch-size", options.batch_size, 1)
    checks.whole("timed-rounds", options.timed_rounds, 1)
    checks.whole("feature-changes", options.drift, 0)
    table = _take_suite(options)
    generation = pipelines.check_model_options(options)
    generation = generation.resolved(**own_settings(options.model))
    if table is not None and generation.then is None:
        generation = generation.changed(then=table.stages_behind(options.model))
    check_stages(generation.stages)
    variants = [variant.of_run(generation) for variant in read_variants(list(_asked(options, table)))]
    if options.reference is not None:
        checks.check_choice("--reference", options.reference, [variant.name for variant in variants])
    known = pipeline_class(options.model, check_loading(inline(options.loading)))
    if table is not None and known is not None:
        table.check(known)
    made = IMAGE if known is None else kind_of(known)
    made = made if not generation.stages else kind_of(class_of_stage(generation.stages[-1]) or known)
    clip_model = options.clip_model if has_texts(options.annotations) else NONE
    scores = chosen(options.scores, options.model, options.images, clip_model, made)
    annotated = read_subjects(options.annotations, options.captions, inline(options.inputs))
    captions = annotated[: options.captions]
    if known is not None:
        check_conditioning(known, captions, generation.size, generation.arguments)
    check_stages(generation.stages, captions)
    if len(captions) < options.captions and options.annotations in CAPTIONS:
        raise ConfigError(f"--limit is {options.captions}, but there are only {len(captions)} captions; give less")
    return Request(
        variants=variants,
        captions=captions,
        scoring=Scoring(scores, annotated, options.images, captions, Networks(clip=options.clip_model), made),
        generation=generation,
        given={name: value for name, value in vars(options).items() if name not in ("variants", "overwrite", "out")},
    )


def _take_suite(options: argparse.Namespace) -> suite.Suite | None:
    """Fill in the model, and what a suite runs on it where nothing else is asked for; return the suite."""
    asked = None if options.suite is None else suite.load(options.suite)
    own = SHAPES if asked is None else asked.model
    options.model = options.model or own
    if asked is None or options.model != own:
        return asked
    if options.annotations is None and asked.annotations:
        options.annotations = asked.annotations
    if options.scores == AUTO and asked.scores:
        options.scores = asked.scores
    return asked


def _usual(model: str) -> list[str]:
    return list(FLOW_DEFAULT_NAMES if predicts_flow(model) else DEFAULT_NAMES)


def _asked(options: argparse.Namespace, table: suite.Suite | None) -> Iterable[Any]:
    if table is None:
        return shared.variants(options.variants or _usual(options.model))
    if options.variants is not None:
        raise ConfigError("give either --suite or --variants, not both")
    return table.variants


def _measured(
    request: Request, console: Console, pipe: Any, stages: Sequence[Stage], checkpoint: Checkpoint
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[str]]:
    """Generate what is missing and score everything; returns the rows, feature changes, and warnings."""
    scoring, captions = request.scoring, request.captions
    rounds = plan(captions, request.given["batch_size"], request.given["timed_rounds"])
    with warnings.catch_warnings(record=True) as caught, bars(console) as progress:
        warnings.simplefilter("always", FdplugWarning)
        task = progress.add_task("real images", total=scoring.num_references, visible=scoring.num_references > 0)
        size = None if scoring.references is None else final_size(pipe, stages, request.generation.size)
        scores = scoring.load(pipe.device, lambda count: progress.advance(task, count), size)
        comparison = Comparison(pipe, request.variants, request.generation, scores, request.given["reference"], stages)
        count = len(request.variants)
        watcher = LiveWatcher(console, progress, len(rounds) * count, count)
        rows = [variant_run.row() for variant_run in comparison.run(rounds, watcher, checkpoint)]
        longest, some = feature_changes.longest_plain(comparison.variant_runs), captions[: request.given["drift"]]
        changes = feature_changes.measure(pipe, some, longest) if longest and some else None
    checkpoint.close()
    return rows, changes, _texts(caught)


def _results(
    request: Request,
    pipe: Any,
    stages: Sequence[Stage],
    rows: list[dict[str, Any]],
    changes: dict[str, Any] | None,
    caught: list[str],
) -> dict[str, Any]:
    given, captions = request.given, request.captions
    settings = {
        **given,
        "scores": request.scoring.names,
        "guidance": request.generation.guidance,
        "pipeline": type(pipe).__name__,
        "images_per_variant": len(captions),
        "timed_rounds": len(rows[0]["rounds"]),
        "timed_batch": min(given["batch_size"], len(captions)),
        "memory_kind": PeakMemory(pipe.device).kind,
        "image_seeds": "the first 63 bits of SHA-256 over 'seed:image_id', one CPU generator per image",
        "image_ids": [caption.image_id for caption in captions],
    }
    return {
        **provenance(pipe.device),
        "hashes": all_networks(pipe, stages) | hashes(pipe, subjects_file(given["annotations"])),
        "settings": settings,
        "captions": [caption.text for caption in captions],
        "variants": rows,
        "published": published.published(given["suite"], rows, given["model"]),
        "equal_time": equal_time_sentences(rows),
        "notes": explanations(rows, settings),
        "warnings": caught,
        "drift": changes,
    }


def _texts(caught: list[warnings.WarningMessage]) -> list[str]:
    """What fdplug warned of, once each; other warnings are passed on."""
    texts: dict[str, None] = {}
    for one in caught:
        if issubclass(one.category, FdplugWarning):
            texts[str(one.message)] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return list(texts)


def _write(folder: ResultFolder, results: dict[str, Any], request: Request) -> None:
    shown, images = request.captions[:SHOWN], request.given["images"]
    if has_references(shown, images):
        from fdplug.predict.data.references import ReferenceImages

        references = ReferenceImages(shown, images)
        folder.real = [Image.fromarray(references.read(index)) for index in range(len(shown))]
    folder.write_sheet(request.variants, shown)
    folder.write_results(results, _title(results))
    write_report(folder.folder)


def _print(console: Console, results: dict[str, Any], folder: ResultFolder) -> None:
    print_table(results["variants"], _title(results), console)
    if results["published"]:
        print_texts(results["published"], console)
    for note in (*results["equal_time"], *results["notes"], *results["warnings"]):
        console.print(f"- {note}", highlight=False)
    console.print(f"Written to {folder.folder}: {', '.join(folder.written())}, images/", highlight=False)


def _title(results: dict[str, Any]) -> str:
    settings = results["settings"]
    return (
        f"{settings['model']}: {settings['images_per_variant']} captions, guidance {settings['guidance'] or 'default'},"
        f" batches of {settings['batch_size']}, seed {settings['seed']}, {results['hardware']['device']}"
    )
