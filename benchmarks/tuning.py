"""Tuned key steps against the paper's, uniform, random, genetically searched ones, and fewer steps.

    python -m benchmarks.tuning            # about an hour of one core
    python -m benchmarks.tuning --quick    # a fifth of it, for a look

Tunes on the last captions of the annotation file and judges on the first ones, which are others. Writes
`benchmarks/results/tuning.json` and `tuning.md`; of `--model shapes-flow` `tuning-shapes-flow.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.frontier.testbeds import TESTBEDS
from benchmarks.genetic import search
from benchmarks.tuning_judge import Candidate, Judge
from benchmarks.tuning_table import markdown
from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.policies import Paper, Schedule, Uniform
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.captions import SHAPES, Caption, default_annotations, read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loading import load_pipeline, own_settings
from fdplug.profiling.provenance import provenance
from fdplug.tuning.calibration import Calibration, calibrate
from fdplug.tuning.local_search import refine
from fdplug.tuning.noise import tune_injector
from fdplug.tuning.optimal_spans import segment
from fdplug.tuning.trials import Trials, policy_of

RESULTS = Path(__file__).parent / "results"
QUICK = {"calibration": 4, "captions": 32, "random": 2, "genetic": 60, "refine": 20, "counts": [5, 9]}


def parser() -> argparse.ArgumentParser:
    """The options of the experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=SHAPES)
    parser.add_argument("--sampler", help="default: an embedded model's own; of others ddim")
    parser.add_argument("--steps", type=int, help="default: as many as an embedded model takes; of others 50")
    parser.add_argument("--annotations", help="default: those of the model, or shapes")
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5, 7, 9, 12, 17], help="of key steps")
    parser.add_argument("--calibration", type=int, default=8, help="captions to tune on")
    parser.add_argument("--captions", type=int, default=128, help="captions to judge on")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--random", type=int, default=3, help="random sets of the paper's size")
    parser.add_argument("--genetic", type=int, default=120, help="candidates that the genetic search measures")
    parser.add_argument("--refine", type=int, default=40, help="candidates that refinement measures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--out", type=Path)
    return parser


def filled(options: argparse.Namespace) -> argparse.Namespace:
    """Fill in what depends on the model."""
    bed = TESTBEDS.get(options.model)
    options.sampler = options.sampler or (bed.sampler if bed else "ddim")
    options.steps = options.steps or (bed.steps if bed else 50)
    stem = "tuning" if options.model == SHAPES else f"tuning-{Path(options.model).name}"
    options.out = options.out or RESULTS / f"{stem}.json"
    return options


class Experiment:
    """Finds the candidates; counts what finding each took."""

    def __init__(
        self, pipe: Any, captions: Sequence[Caption], generation: GenerationConfig, options: argparse.Namespace
    ) -> None:
        self.pipe, self.captions, self.generation, self.options = pipe, captions, generation, options
        self.trials = Trials(pipe, self._generate, settings=PropagationConfig(injector="none"))
        self.schedule = Schedule(tuple(float(one) for one in pipe.scheduler.timesteps.tolist()))
        self.found: dict[str, Any] = {}

    def _generate(self) -> Any:
        return run(self.pipe, self.captions, self.generation).images

    def candidates(self, console: Console) -> Iterator[Candidate]:
        """Yield everything to be compared, the un-accelerated pipeline first."""
        paper = tuple(sorted(Paper().key_steps(self.schedule)))
        steps, count = self.generation.resolved_steps, len(paper)
        yield Candidate(f"all {steps} steps", None, steps)
        yield Candidate(f"the paper's {count}", paper, steps)
        yield from self._random(count)
        closed, opened = self._calibrated(console)
        genetic = self._genetic(count, console)
        for number in sorted({*self.options.counts, count}):
            uniform = tuple(sorted(Uniform(count=number).key_steps(self.schedule)))
            cut = segment(closed.costs)[number - 1].keys
            yield Candidate(f"uniform {number}", uniform, steps)
            if number == count:
                yield Candidate(
                    f"tuned {number}, no response", segment(opened.costs)[number - 1].keys, steps, runs=opened.runs
                )
                yield genetic
            yield Candidate(f"tuned {number}", cut, steps, runs=closed.runs)
            refined = self._refined(cut, uniform, closed.runs)
            yield refined
            if number == count:
                yield from self._noisy(refined)
        yield from self._fewer(closed, count)

    def _random(self, count: int) -> Iterator[Candidate]:
        rng = np.random.default_rng(self.options.seed)
        for index in range(self.options.random):
            others = rng.choice(np.arange(1, self.generation.resolved_steps), count - 1, replace=False)
            keys = (0, *sorted(int(one) for one in others))
            yield Candidate(
                f"random {count}, {'abcdefghijklmnopqrstuvwxyz'[index]}", keys, self.generation.resolved_steps
            )

    def _calibrated(self, console: Console) -> tuple[Calibration, Calibration]:
        """Return the calibration with the denoiser's response, and the one that takes it to be 1 everywhere."""
        with bars(console) as progress:
            task = progress.add_task("calibrating", total=None)
            closed = calibrate(
                self.pipe,
                self._generate,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        self.found |= {"sensitivity": closed.sensitivity, "response": closed.response}
        return closed, closed.without_response()

    def _error(self, keys: tuple[int, ...]) -> float:
        return self.trials.of(keys).error

    def _genetic(self, count: int, console: Console) -> Candidate:
        with bars(console) as progress:
            task = progress.add_task("genetic search", total=self.options.genetic)
            self.trials.told = lambda runs: progress.advance(task)
            front = search(self.generation.resolved_steps, self._error, self.options.genetic, seed=self.options.seed)
            self.trials.told = lambda runs: None
        keys, _ = front.at_most(count)
        self.found["genetic_front"] = {str(size): [list(best), error] for size, (best, error) in front.best.items()}
        return Candidate(f"genetic {len(keys)}", keys, self.generation.resolved_steps, runs=front.tried)

    def _refined(self, cut: tuple[int, ...], uniform: tuple[int, ...], runs: int) -> Candidate:
        best = refine([cut, uniform], self.generation.resolved_steps, self._error, self.options.refine)
        return Candidate(
            f"tuned {len(cut)}, refined", best.keys, self.generation.resolved_steps, runs=runs + best.tried
        )

    def _noisy(self, refined: Candidate) -> Iterator[Candidate]:
        assert refined.keys is not None
        noise = tune_injector(self.trials, refined.keys)
        self.found["noise"] = {"alpha": noise.alpha, "tau": noise.tau, "error": noise.error, "without": noise.without}
        tuned = {"prior": {"alpha": noise.alpha, "tau": noise.tau}}
        yield Candidate(f"{refined.name}, the paper's noise", refined.keys, refined.steps, "prior", refined.runs)
        yield Candidate(f"{refined.name}, tuned noise", refined.keys, refined.steps, tuned, refined.runs + 10)

    def _fewer(self, found: Calibration, count: int) -> Iterator[Candidate]:
        """Yield fewer steps: in the tuned run's denoiser time, in its GFLOPs, half as many, as many as its keys."""
        keys = segment(found.costs)[count - 1].keys
        share = self._time_share(keys)
        self.found["time_share"] = share
        flops = found.gflops_with(count) / found.gflops[0]
        wanted = {
            max(2, round(self.generation.resolved_steps * share)): "equal time",
            max(2, round(self.generation.resolved_steps * flops)): "equal GFLOPs",
            self.generation.resolved_steps // 2: "half",
            count: "as many steps as key steps",
        }
        for steps in sorted(wanted, reverse=True):
            yield Candidate(f"{steps} steps ({wanted[steps]})", None, steps)

    def _time_share(self, keys: Sequence[int], rounds: int = 3) -> float:
        """Return the denoiser time of a propagated run over that of a plain one: fastest of a few, interleaved."""
        policy = policy_of(keys, self.generation.resolved_steps)
        settings = PropagationConfig(policy=policy, injector="none")
        times = [
            [run(self.pipe, self.captions, self.generation, given).denoiser_seconds for given in (None, settings)]
            for _ in range(rounds)
        ]
        plain, fast = (min(column) for column in zip(*times, strict=True))
        return fast / plain


def measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Find, judge, and return everything."""
    options = filled(options)
    captions = read_captions(options.annotations or default_annotations(options.model))
    tuning, judging = captions[-options.calibration :], captions[: options.captions]
    if {one.image_id for one in tuning} & {one.image_id for one in judging}:
        raise SystemExit(f"{len(captions)} captions are too few: tuning and judging would share some")
    pipe = load_pipeline(options.model)
    pipe.scheduler = registry.build("sampler", options.sampler).fit(pipe.scheduler)
    generation = GenerationConfig(steps=options.steps, seed=options.seed).resolved(**own_settings(options.model))
    pipe.scheduler.set_timesteps(options.steps)
    experiment = Experiment(pipe, tuning, generation, options)
    candidates = list(experiment.candidates(console))
    judge = Judge(pipe, generation, options.model)
    with bars(console) as progress:
        task = progress.add_task("judging", total=len(candidates) * len(judging))
        rows = judge.rows(candidates, judging, options.batch_size, lambda count: progress.advance(task, count))
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "quick")}
    return {**provenance(pipe.device), "settings": settings, "found": experiment.found, "rows": rows}


def main() -> None:
    """Run the experiment, keep and print its table."""
    options = parser().parse_args()
    if options.quick:
        vars(options).update(QUICK)
    results = measure(options, Console())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = markdown(results)
    options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
