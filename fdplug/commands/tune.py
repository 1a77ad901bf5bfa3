"""`fdplug tune`: the best key steps for a pipeline, a sampler, a number of steps and a budget."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from fdplug.builtin.tuned import Noise, TunedSchedule
from fdplug.checks import check_choice, number, whole
from fdplug.commands import pipelines
from fdplug.commands.options.shared import inline
from fdplug.commands.options.tune import parser
from fdplug.config import name_of
from fdplug.errors import ConfigError
from fdplug.files.text_tables import plain_table, terminal_width
from fdplug.files.writing import writable_file
from fdplug.pipeline import find_family
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run as generate
from fdplug.profiling.fingerprint import fingerprint
from fdplug.tuning.calibration import Calibration, calibrate
from fdplug.tuning.forecast_spans import record
from fdplug.tuning.tuner import Goal, PartTuner, TrunkTuner

INJECTORS = ("none", "prior", "tune")
BUDGETS = ("--key-steps", "--gflops", "--seconds", "--psnr")


def main(argv: list[str]) -> int:
    """Run `fdplug tune` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug tune` with these options."""
    tune(options, Console())
    return 0


def tune(options: argparse.Namespace, console: Console) -> TunedSchedule:
    """Check, measure, cut, choose, refine, write, and say what was found."""
    given, goal, captions = _checked(options)
    pipe, generation = pipelines.opened(options, given)
    tuner: PartTuner | TrunkTuner
    if goal.part == "trunk":
        recorded = record(pipe, lambda: generate(pipe, captions, generation), options.responses)
        tuner = TrunkTuner(pipe, captions, generation, goal, recorded, console)
        facts = {"part": "trunk", "weights": [[round(one, 6) for one in image] for image in recorded.weights.tolist()]}
        timesteps = recorded.timesteps
    else:
        found = _measure(pipe, captions, generation, goal.part, options.responses, console)
        tuner = PartTuner(pipe, captions, generation, goal, found, console)
        facts = {"injector": goal.injector}
        facts |= {name: [round(one, 6) for one in getattr(found, name)] for name in ("sensitivity", "response")}
        timesteps = found.timesteps
    chosen = tuner.choose()
    noise = tuner.noise(chosen)
    tuned = TunedSchedule(
        model=options.model,
        denoiser=fingerprint(find_family(pipe)[1]),
        timesteps=timesteps,
        chosen=chosen,
        curve=tuple(tuner.curve),
        noise=noise,
        calibration={
            "sampler": name_of("sampler", generation.sampler),
            "steps": generation.resolved_steps,
            "guidance": generation.guidance,
            "seed": generation.seed,
            "images": [caption.image_id for caption in captions],
            "runs": tuner.runs,
            **facts,
        },
    )
    tuned.save(options.out)
    _print(tuned, options.out, console)
    return tuned


def _checked(options: argparse.Namespace) -> tuple[GenerationConfig, Goal, list[Caption]]:
    """Refuse every option that cannot be right, before any model is loaded."""
    generation = pipelines.check_model_options(options)
    budgets = (options.keys, options.gflops, options.seconds, options.psnr)
    given = [name for name, value in zip(BUDGETS, budgets, strict=True) if value is not None]
    if len(given) > 1:
        raise ConfigError(f"give one of {', '.join(BUDGETS)}, not {' and '.join(given)}")
    keys = options.keys or [None]
    for one in options.keys or ():
        if not 1 <= one <= generation.resolved_steps:
            steps = generation.resolved_steps
            raise ConfigError(f"--key-steps is {one}, a number from 1 to the {steps} steps is needed")
    for name, value in zip(BUDGETS[1:], budgets[1:], strict=True):
        if value is not None:
            number(name, value, 0)
    check_choice("injector for tuning", options.injector, INJECTORS)
    whole("--refine", options.refine, 0)
    whole("--responses", options.responses, 0)
    whole("--limit", options.captions, 1)
    if Path(options.out).suffix != ".json":
        raise ConfigError(f"--out is '{options.out}', the name of a .json file is needed")
    writable_file(Path(options.out))
    part = inline(options.part)
    if part == "trunk" and options.injector == "tune":
        raise ConfigError("--injector tune is for parts that are reused; with --part trunk there is no noise to tune")
    goal = Goal(
        keys=keys[0],
        others=tuple(keys[1:]),
        gflops=options.gflops,
        seconds=options.seconds,
        psnr=options.psnr,
        refine=options.refine,
        injector="none" if part == "trunk" else options.injector,
        part=part,
    )
    return generation, goal, read_captions(options.annotations)[-options.captions :]


def _measure(
    pipe: Any, captions: list[Caption], generation: GenerationConfig, part: Any, responses: int, console: Console
) -> Calibration:
    with bars(console) as progress:
        task = progress.add_task("calibrating", total=generation.resolved_steps)
        return calibrate(
            pipe,
            lambda: generate(pipe, captions, generation),
            part=part,
            responses=responses,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _print(tuned: TunedSchedule, path: str, console: Console) -> None:
    head, rows = ("key steps", "expected error", "measured", "PSNR dB", "GFLOPs/image", "s/image", "which"), []
    shown = {1, 2, 3, 5, 7, 9, 12, 17, 25, len(tuned.curve), tuned.chosen}
    measured = [(count, choice.measured, choice.seconds) for count, choice in enumerate(tuned.curve, start=1)]
    shown |= {count for count, *values in measured if values != [None, None]}
    for count in sorted(one for one in shown if one <= len(tuned.curve)):
        choice = tuned.curve[count - 1]
        cells = (
            f"{count}{' *' if count == tuned.chosen else ''}",
            f"{choice.error:.3g}",
            "" if choice.measured is None else f"{choice.measured:.3g}",
            "" if choice.psnr is None else f"{choice.psnr:.1f}",
            f"{choice.gflops:.4g}",
            "" if choice.seconds is None else f"{choice.seconds:.3g}",
            ", ".join(map(str, choice.keys)) if count < len(tuned.curve) else "all",
        )
        rows.append(cells)
    console.print(plain_table(head, rows, terminal_width()), markup=False, highlight=False, soft_wrap=True)
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
