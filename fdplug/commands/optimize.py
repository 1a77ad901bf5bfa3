"""`fdplug optimize`: the best settings for a model, your prompts and what you can spend, with the proof."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fdplug.checks import installed, whole
from fdplug.commands import pipelines
from fdplug.commands.options.optimize import parser
from fdplug.errors import ConfigError
from fdplug.files.text_tables import terminal_width
from fdplug.files.writing import writable_file
from fdplug.optimization.answer import Answer
from fdplug.optimization.budget import Budget, seconds
from fdplug.optimization.measuring.quality import Scores
from fdplug.optimization.optimizer import Optimizer
from fdplug.optimization.output.progress import Clock, ConsoleTeller
from fdplug.optimization.output.report import file_word, page_name
from fdplug.optimization.output.table import legend, notes, table
from fdplug.optimization.request import Request, split
from fdplug.predict.comparison.scoring import Networks, built, chosen
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.predict.data.prompts import read_prompts
from fdplug.scores.score_set import ScoreSet
from fdplug.shapes import MODELS


def main(argv: list[str]) -> int:
    """Run `fdplug optimize` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug optimize` with these options."""
    return optimize(options, Console())


def optimize(options: argparse.Namespace, console: Console) -> int:
    """Check everything, search, write the preset and say what was found; returns the exit code."""
    work = Path(options.work or Path(options.out).with_suffix(".work"))
    budgets = list({one.text: one for one in map(Budget.parse, options.budget)}.values())
    paths = [_path(options.out, one if len(budgets) > 1 else None) for one in budgets]
    optimizer = _prepared(options, console, work, budgets[0], paths)
    try:
        for budget, path, answer in zip(budgets, paths, optimizer.answers(budgets), strict=True):
            answer.preset.save(path)
            _print(answer, path, work / page_name(budget if len(budgets) > 1 else None), console)
    except KeyboardInterrupt:
        _interrupted(optimizer, work)
        return 130
    return 0


def _path(out: str, budget: Budget | None) -> str:
    """Return the name of the preset of one budget of several, or of the only one."""
    path = Path(out)
    return out if budget is None else str(path.with_name(f"{path.stem}-{file_word(budget)}{path.suffix}"))


def _prepared(
    options: argparse.Namespace, console: Console, work: Path, budget: Budget, paths: Sequence[str]
) -> Optimizer:
    """Refuse every option that cannot be right, then load the model."""
    installed("fdplug optimize", "optimize", "optuna")
    given = pipelines.check_model_options(options)
    clock = Clock(None if options.time is None else seconds(options.time))
    for name, least in (("calibration", 2), ("held_out", 4), ("batch_size", 1), ("trials", 0)):
        whole(f"--{name.replace('_', '-')}", getattr(options, name), least)
    calibration, held_out = split(_captions(options.prompts), options.calibration, options.held_out)
    scores = _scores(options)
    scores.check([*calibration, *held_out])
    if Path(options.out).suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out is '{options.out}', the name of a .yaml file is needed")
    for path in paths:
        writable_file(Path(path))
    pipe, generation = pipelines.opened(options, given)
    request = Request(
        generation=generation,
        budget=budget,
        calibration=calibration,
        held_out=held_out,
        maximize=options.maximize,
        batch_size=options.batch_size,
        trials=options.trials,
        model=options.model,
    )
    return Optimizer(pipe, request, Scores.load(scores, pipe.device), work, None, clock, ConsoleTeller(console, clock))


def _captions(given: str) -> Sequence[Caption]:
    return read_captions(given) if given in MODELS or given.endswith(".json") else read_prompts(given)


def _scores(options: argparse.Namespace) -> ScoreSet:
    """Return the scores for `--scores`; those of `shapes` are taken by themselves for its own captions only."""
    if options.scores == "auto" and options.model in MODELS and options.prompts not in MODELS:
        return ScoreSet([])
    return built(chosen(options.scores, options.model, None, options.clip_model), Networks(clip=options.clip_model))


def _interrupted(optimizer: Optimizer, work: Path) -> None:
    best = "nothing was found yet"
    if optimizer.best is not None:
        best = f"best so far: {optimizer.best.title}, in {work / 'best-so-far.yaml'} (not judged on held-out prompts)"
    print(f"fdplug optimize: interrupted; {best}; the same command goes on from here", file=sys.stderr)


def _print(answer: Answer, path: str, report: Path, console: Console) -> None:
    for line in legend(answer):
        console.print(line, highlight=False, soft_wrap=True)
    console.print()
    console.print(table(answer, terminal_width()), markup=False, highlight=False, soft_wrap=True)
    for note in notes(answer):
        console.print(f"- {note}", highlight=False)
    console.print(f"\n{answer.line}", highlight=False, soft_wrap=True)
    used = f"use it by fdplug.propagate(pipe, preset='{path}')"
    console.print(f"Written: {path}, {used}; {report}, the page about it", highlight=False, soft_wrap=True)
