"""`fdplug tune`: the best key steps for a pipeline, a sampler, a number of steps and a budget."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fdplug.builtin.tuned import Choice, Noise, TunedSchedule
from fdplug.checks import check_choice, number, whole
from fdplug.commands import options as shared
from fdplug.config import name_of
from fdplug.errors import ConfigError
from fdplug.files.writing import writable_file
from fdplug.pipeline import find_family
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import SHAPES, Caption, read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.profiling.fingerprint import fingerprint
from fdplug.tuning.calibration import RESPONSES, Calibration, calibrate
from fdplug.tuning.forecast_spans import best_spans, record
from fdplug.tuning.tuner import Goal, Tuner

DESCRIPTION = """Find the best key steps: measure on a few captions what every possible span costs, then cut the run
into spans by dynamic programming. Takes as many pipeline calls as there are steps, and a dozen more; --refine, --psnr
and --injector tune take further ones. What is found is used by policy: {tuned: {file: FILE}} and, the noise, by
injector: {tuned: {file: FILE}}."""
INJECTORS = ("none", "prior", "tune")
BUDGETS = ("keys", "gflops", "psnr")


def main(argv: list[str]) -> int:
    """Run `fdplug tune` with these arguments."""
    tune(parser().parse_args(argv), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser = shared.Parser(prog="fdplug tune", description=DESCRIPTION)
    shared.add_sampler_options(parser)
    parser.add_argument("--keys", type=int, help="number of key steps; as many as the paper's policy if left out")
    parser.add_argument("--gflops", type=float, help="budget per image, instead of --keys")
    parser.add_argument(
        "--psnr", type=float, help="instead of --keys: as few as keep this, in dB, to the un-accelerated images"
    )
    parser.add_argument(
        "--refine", type=int, default=0, help="runs to spend on moving key steps one by one (default 0)"
    )
    parser.add_argument(
        "--injector", default="prior", help="what --psnr and --refine run with: prior or none; tune finds its settings"
    )
    parser.add_argument("--part", default="encoder", help="what is computed at key steps only (default encoder)")
    parser.add_argument(
        "--responses", type=int, default=RESPONSES, help=f"runs that measure its response (default {RESPONSES})"
    )
    parser.add_argument("--annotations", default=SHAPES, help="json in the form of captions_val2017.json, or 'shapes'")
    parser.add_argument("--captions", type=int, default=8, help="the last so many of the file (default 8)")
    parser.add_argument("--out", default="tuned.json", help="file to write (default tuned.json)")
    shared.add_model_options(parser)
    return parser


def tune(options: argparse.Namespace, console: Console) -> TunedSchedule:
    """Check, measure, cut, choose, refine, write, and say what was found."""
    given, goal, captions = _checked(options)
    pipe, generation = shared.opened(options, given)
    if goal.part == "trunk":
        return _tune_trunk(options, captions, pipe, generation, console)
    found = _measure(pipe, captions, generation, goal.part, options.responses, console)
    tuner = Tuner(pipe, captions, generation, goal, found, console)
    chosen = tuner.choose()
    tuned = TunedSchedule(
        model=options.model,
        denoiser=fingerprint(find_family(pipe)[1]),
        timesteps=found.timesteps,
        chosen=chosen,
        curve=tuple(tuner.curve),
        noise=tuner.noise(chosen),
        calibration={
            "sampler": name_of("sampler", generation.sampler),
            "steps": generation.resolved_steps,
            "guidance": generation.guidance,
            "seed": generation.seed,
            "injector": goal.injector,
            "images": [caption.image_id for caption in captions],
            "runs": tuner.runs,
            "sensitivity": [round(value, 6) for value in found.sensitivity],
            "response": [round(value, 6) for value in found.response],
        },
    )
    tuned.save(options.out)
    _print(tuned, options.out, console)
    return tuned


def _tune_trunk(
    options: argparse.Namespace, captions: list[Caption], pipe: Any, generation: GenerationConfig, console: Console
) -> TunedSchedule:
    """Cut a run into spans with a damped forecast in each, from one recorded run and a few that measure responses."""
    if options.refine or options.psnr is not None or options.injector == "tune":
        raise ConfigError("with --part trunk there is no --refine, --psnr or --injector tune; give --keys or --gflops")
    found = record(pipe, lambda: run(pipe, captions, generation), options.responses)
    each = found.gflops / len(found.times) / len(captions)  # a replayed step costs next to nothing
    curve = tuple(
        Choice(keys=cut.keys, error=cut.error, gflops=each * len(cut.keys), shares=cut.shares)
        for cut in best_spans(found)
    )
    chosen = options.keys or sum(choice.gflops <= (options.gflops or 16 * each) for choice in curve)
    if not chosen:
        raise ConfigError(f"--gflops is {options.gflops:g}, but one key step takes {each:.4g} per image")
    tuned = TunedSchedule(
        model=options.model,
        denoiser=fingerprint(find_family(pipe)[1]),
        timesteps=found.timesteps,
        chosen=chosen,
        curve=curve,
        calibration={
            "part": "trunk",
            "sampler": name_of("sampler", generation.sampler),
            "steps": generation.resolved_steps,
            "guidance": generation.guidance,
            "seed": options.seed,
            "images": [caption.image_id for caption in captions],
            "runs": found.runs,
            "weights": [round(float(value), 6) for value in found.weights],
        },
    )
    tuned.save(options.out)
    _print(tuned, options.out, console)
    return tuned


def _checked(options: argparse.Namespace) -> tuple[GenerationConfig, Goal, list[Caption]]:
    """Refuse every option that cannot be right, before any model is loaded."""
    generation = shared.check_model_options(options)
    given = [name for name in BUDGETS if getattr(options, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"give one of --keys, --gflops and --psnr, not {' and '.join('--' + one for one in given)}")
    if options.keys is not None and not 1 <= options.keys <= generation.resolved_steps:
        raise ConfigError(
            f"--keys is {options.keys}, a number from 1 to the {generation.resolved_steps} steps is needed"
        )
    if options.gflops is not None:
        number("--gflops", options.gflops, 0)
    if options.psnr is not None:
        number("--psnr", options.psnr, 0)
    check_choice("injector for tuning", options.injector, INJECTORS)
    whole("--refine", options.refine, 0)
    whole("--responses", options.responses, 0)
    if options.captions < 1:
        raise ConfigError(f"--captions is {options.captions}, at least one is needed")
    if Path(options.out).suffix != ".json":
        raise ConfigError(f"--out is '{options.out}', the name of a .json file is needed")
    writable_file(Path(options.out))
    goal = Goal(
        keys=options.keys,
        gflops=options.gflops,
        psnr=options.psnr,
        refine=options.refine,
        injector=options.injector,
        part=shared.inline(options.part),
    )
    return generation, goal, read_captions(options.annotations)[-options.captions :]


def _measure(
    pipe: Any, captions: list[Caption], generation: GenerationConfig, part: Any, responses: int, console: Console
) -> Calibration:
    with bars(console) as progress:
        task = progress.add_task("calibrating", total=generation.resolved_steps)
        return calibrate(
            pipe,
            lambda: run(pipe, captions, generation),
            part=part,
            responses=responses,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _print(tuned: TunedSchedule, path: str, console: Console) -> None:
    table = Table("key steps", "expected error", "measured", "PSNR dB", "GFLOPs/image", "which", box=None)
    shown = {1, 2, 3, 5, 7, 9, 12, 17, 25, len(tuned.curve), tuned.chosen}
    shown |= {count for count, choice in enumerate(tuned.curve, start=1) if choice.measured is not None}
    for count in sorted(one for one in shown if one <= len(tuned.curve)):
        choice = tuned.curve[count - 1]
        table.add_row(
            f"{count}{' *' if count == tuned.chosen else ''}",
            f"{choice.error:.3g}",
            "" if choice.measured is None else f"{choice.measured:.3g}",
            "" if choice.psnr is None else f"{choice.psnr:.1f}",
            f"{choice.gflops:.4g}",
            ", ".join(map(str, choice.keys)) if count < len(tuned.curve) else "all",
        )
    console.print(table)
    console.print("* chosen. Expected error: mean squared change of the final sample, by first order.")
    if tuned.noise is not None:
        console.print(_noise_line(tuned.noise), highlight=False)
    console.print(f"Written: {path}, after {tuned.calibration['runs']} pipeline calls")


def _noise_line(noise: Noise) -> str:
    if noise.alpha == 0:
        return f"Prior noise: none is best; every alpha and tau takes the images further away ({noise.without:.3g})."
    return (
        f"Prior noise: alpha {noise.alpha:.3g}, tau {noise.tau:g} lower the measured error from {noise.without:.3g}"
        f" to {noise.error:.3g}."
    )
