"""`fdplug tune`: the best key steps for a pipeline, a sampler and a number of steps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fdplug.calibration import Calibration, calibrate
from fdplug.errors import ConfigError
from fdplug.pipeline import find_family
from fdplug.predict import options as shared
from fdplug.predict.captions import SHAPES, Caption, read_captions
from fdplug.predict.generation import Look, run
from fdplug.predict.live import bars
from fdplug.predict.variant import Variant
from fdplug.predict.writer import writable_folder
from fdplug.segmentation import segment
from fdplug.tuned import Choice, TunedSchedule, fingerprint

DESCRIPTION = """Find the best key steps: measure on a few captions what every possible span costs, then cut the run
into spans by dynamic programming. Takes as many pipeline calls as there are steps. The result is used by
policy: {tuned: {file: FILE}}."""


def main(argv: list[str]) -> int:
    """Run `fdplug tune` with these arguments."""
    tune(parser().parse_args(argv), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = shared.Parser(prog="fdplug tune", description=DESCRIPTION)
    parser.add_argument("--sampler", default="ddim", help="a sampler by name (default ddim)")
    parser.add_argument("--steps", type=int, help="denoising steps; the sampler's own default if left out")
    parser.add_argument("--keys", type=int, help="number of key steps; as many as the paper's policy if left out")
    parser.add_argument("--gflops", type=float, help="budget per image, instead of --keys")
    parser.add_argument("--part", default="encoder", help="what is computed at key steps only (default encoder)")
    parser.add_argument("--annotations", default=SHAPES, help="json in the form of captions_val2017.json, or 'shapes'")
    parser.add_argument("--captions", type=int, default=8, help="the last so many of the file (default 8)")
    parser.add_argument("--out", default="tuned.json", help="file to write (default tuned.json)")
    shared.add_model_options(parser)
    return parser


def tune(options: argparse.Namespace, console: Console) -> TunedSchedule:
    """Check, measure, cut, write, and say what was found."""
    variant, captions = _checked(options)
    pipe, look = shared.opened(options, variant)
    found = _measure(pipe, captions, look, shared.inline(options.part), console)
    curve = _curve(found, len(captions))
    tuned = TunedSchedule(
        model=options.model,
        denoiser=fingerprint(find_family(pipe)[1]),
        timesteps=found.timesteps,
        chosen=_chosen(options, curve, found.timesteps),
        curve=curve,
        calibration={
            "sampler": variant.sampler_name,
            "steps": variant.resolved_steps,
            "guidance": look.guidance,
            "seed": options.seed,
            "images": [caption.image_id for caption in captions],
            "sensitivity": [round(value, 6) for value in found.sensitivity],
        },
    )
    tuned.save(options.out)
    _print(tuned, options.out, console)
    return tuned


def _checked(options: argparse.Namespace) -> tuple[Variant, list[Caption]]:
    """Refuse every option that cannot be right, before any model is loaded."""
    shared.check_model_options(options)
    if options.keys is not None and options.gflops is not None:
        raise ConfigError("give either --keys or --gflops, not both.")
    variant = Variant(name="tune", sampler=shared.inline(options.sampler), steps=options.steps)
    if options.keys is not None and not 1 <= options.keys <= variant.resolved_steps:
        raise ConfigError(f"--keys is {options.keys}, a number from 1 to the {variant.resolved_steps} steps is needed.")
    if options.captions < 1:
        raise ConfigError(f"--captions is {options.captions}, at least one is needed.")
    if Path(options.out).suffix != ".json":
        raise ConfigError(f"--out is '{options.out}', the name of a .json file is needed.")
    writable_folder(Path(options.out).parent)
    return variant, read_captions(options.annotations)[-options.captions :]


def _measure(pipe: Any, captions: list[Caption], look: Look, part: Any, console: Console) -> Calibration:
    with bars(console) as progress:
        task = progress.add_task("calibrating", total=look.steps)
        return calibrate(
            pipe,
            lambda: run(pipe, captions, look),
            part=part,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _curve(found: Calibration, images: int) -> tuple[Choice, ...]:
    cuts = segment(found.costs)
    return tuple(
        Choice(keys=cut.keys, error=cut.error, gflops=found.gflops_with(len(cut.keys)) / images) for cut in cuts
    )


def _chosen(options: argparse.Namespace, curve: tuple[Choice, ...], timesteps: tuple[float, ...]) -> int:
    if options.keys is not None:
        return options.keys
    if options.gflops is None:
        from fdplug.policies import Paper, Schedule

        return len(Paper().key_steps(Schedule(timesteps)))
    affordable = [len(choice.keys) for choice in curve if choice.gflops <= options.gflops]
    if not affordable:
        raise ConfigError(f"--gflops is {options.gflops:g}, but one key step takes {curve[0].gflops:.4g} per image.")
    return max(affordable)


def _print(tuned: TunedSchedule, path: str, console: Console) -> None:
    table = Table("key steps", "expected error", "GFLOPs/image", "which", box=None)
    shown = {1, 2, 3, 5, 7, 9, 12, 17, 25, len(tuned.curve), tuned.chosen}
    for count in sorted(one for one in shown if one <= len(tuned.curve)):
        choice = tuned.curve[count - 1]
        mark = " *" if count == tuned.chosen else ""
        keys = ", ".join(map(str, choice.keys)) if count < len(tuned.curve) else "all"
        table.add_row(f"{count}{mark}", f"{choice.error:.3g}", f"{choice.gflops:.4g}", keys)
    console.print(table)
    console.print(f"* chosen. Expected error: mean squared change of the final sample, to first order. Written: {path}")
