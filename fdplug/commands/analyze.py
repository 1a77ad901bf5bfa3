"""`fdplug analyze`: how a denoiser's features change from step to step, with figures, tables and a reading."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from fdplug.analysis import figures, inputs, tables
from fdplug.analysis.features import Features
from fdplug.analysis.pictures import Principal
from fdplug.analysis.reading import as_dict, paragraph
from fdplug.checks import whole
from fdplug.commands import pipelines
from fdplug.commands.options.analyze import parser
from fdplug.config import name_of
from fdplug.files.writing import writable_folder, write_text
from fdplug.predict.comparison.progress import bars
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.progress import watched
from fdplug.profiling.provenance import provenance

READING = "reading.md"
SUMMARY = "summary.json"
PICTURED = 6


def main(argv: list[str]) -> int:
    """Run `fdplug analyze` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug analyze` with these options."""
    analyze(options, Console())
    return 0


def analyze(options: argparse.Namespace, console: Console) -> Features:
    """Check, run, write, and print the reading."""
    given = _checked(options)
    folder = writable_folder(Path(options.out))
    pipe, generation = pipelines.opened(options, given, needs_prompt=False)
    features = _measure(pipe, options, generation, console)
    _write(features, folder, {**_settings(options, generation), **provenance(pipe.device)})
    text = paragraph(features)
    console.print(text, highlight=False)
    console.print(f"Written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", highlight=False)
    return features


def _checked(options: argparse.Namespace) -> GenerationConfig:
    """Refuse every option that cannot be right, before any model is loaded."""
    figures.check_installed()
    generation = pipelines.check_model_options(options)
    whole("limit", options.captions, 1)
    whole("batch-size", options.batch_size, 1)
    if generation.steps is not None:
        whole("steps", generation.steps, 3)
    return generation


def _measure(pipe: Any, options: argparse.Namespace, generation: GenerationConfig, console: Console) -> Features:
    shown = {round(index * (generation.resolved_steps - 1) / (PICTURED - 1)) for index in range(PICTURED)}
    features = Features(Principal(shown, conditional_first=inputs.kind(pipe) == "class_labels"))
    subjects = inputs.subjects(pipe, options.annotations, options.captions)
    batches = [subjects[start : start + options.batch_size] for start in range(0, len(subjects), options.batch_size)]
    with bars(console) as progress:
        task = progress.add_task("images", total=len(subjects))
        steps = progress.add_task("denoising", total=None)
        for batch in batches:
            with features.watch(pipe, len(batch)), watched(pipe, lambda done, all: _show(progress, steps, done, all)):
                inputs.generate(pipe, batch, generation)
            progress.advance(task, len(batch))
    return features


def _show(progress: Any, task: Any, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _settings(options: argparse.Namespace, generation: GenerationConfig) -> dict[str, Any]:
    return {
        "model": options.model,
        "sampler": name_of("sampler", generation.sampler),
        "steps": generation.resolved_steps,
        "guidance": generation.guidance,
        "captions": options.captions,
        "seed": generation.seed,
    }


def _write(features: Features, folder: Path, settings: dict[str, Any]) -> None:
    tables.write(features, folder)
    names = figures.write(features, folder)
    summary = {"settings": settings, "images": features.images, **as_dict(features)}
    write_text(json.dumps(summary, indent=1) + "\n", folder / SUMMARY)
    panels = "\n\n".join(f"![{name}]({name}.png)" for name in names)
    write_text(f"{paragraph(features)}\n\n{panels}\n", folder / READING)
