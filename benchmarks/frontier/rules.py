"""The thresholds at which residual caches compute as often as the frontier's budgets say, set on other captions.

```bash
python -m benchmarks.frontier.rules --model shapes-flow --out benchmarks/results/frontier-rules-shapes-flow.json
```

Three methods of `fdplug-residual`: `fbcache` and `easycache` decide as a run goes on, so that a run is needed for every
threshold; `magcache` chooses its steps beforehand, from magnitudes that are measured first and written beside OUT. Of
several warm-ups that end at a budget the one is taken whose pictures are nearest to the un-accelerated ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fdplug_residual import MagCache, measure

from benchmarks.frontier.rows import residual
from benchmarks.frontier.scores import psnr
from benchmarks.frontier.testbeds import TESTBEDS, Testbed
from fdplug import propagate, registry
from fdplug.predict.generation.loading import load_pipeline
from fdplug.schedule import Schedule
from fdplug.shapes import annotations_file, call_options
from fdplug.shapes.annotations import references

WARM_UPS: dict[str, tuple[float, ...]] = {"fbcache": (1,), "easycache": (4,), "magcache": (0.0, 0.1, 0.2)}
LEAST, MOST = 1e-4, 10.0  # thresholds: everything is computed, next to nothing is
HALVINGS = 9


@dataclass
class Bench:
    """Runs a pipeline on a batch of captions that nothing is judged on, the last ones of the file.

    Attributes:
        bed: the model.
        captions: how many.
        told: called with a line for every run.
    """

    bed: Testbed
    captions: int
    told: Callable[[str], None]
    pipe: Any = field(init=False)
    plain: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.pipe = load_pipeline(self.bed.model)
        self.pipe.scheduler = registry.build("sampler", self.bed.sampler).fit(self.pipe.scheduler)
        self._texts = [one.caption for one in references(annotations_file(self.bed.model))[-self.captions :]]
        self.plain = self.images()

    def images(self) -> torch.Tensor:
        """Return the pictures (N, 3, H, W) of one run, in [0, 1]."""
        seeds = [torch.Generator().manual_seed(index) for index in range(self.captions)]
        call = {"guidance_scale": self.bed.guidance, "generator": seeds, "output_type": "pt"}
        options = call_options(self.bed.model)
        return self.pipe(self._texts, num_inference_steps=self.bed.steps, **call, **options).images

    def tried(self, policy: str, options: dict[str, Any]) -> tuple[int, float]:
        """Return how many steps a rule computes, and the PSNR of its pictures."""
        with propagate(self.pipe, **residual(policy, options)) as on:
            decibels = float(psnr(self.images(), self.plain).mean())
            computed = len(on.ledger.key_steps)
        self.told(f"{policy} {options}: {computed} steps, {decibels:.1f} dB")
        return computed, decibels


def found(bench: Bench, budgets: Sequence[int], magnitudes: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Return, per policy and number of computed steps, the options whose pictures are nearest."""
    measure(bench.pipe, bench.images).save(magnitudes)
    rules = {name: _searched(bench, name, budgets) for name in ("fbcache", "easycache")}
    return {**rules, "magcache": _chosen(bench, budgets, magnitudes)}


def _searched(bench: Bench, policy: str, budgets: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Halve intervals of thresholds, each warm-up by itself; every run counts for whatever it computed."""
    nearest: dict[int, tuple[float, dict[str, Any]]] = {}
    for warm_up in WARM_UPS[policy]:
        seen: dict[float, int] = {LEAST: bench.bed.steps, MOST: int(warm_up)}
        for calls in budgets:
            for _ in range(HALVINGS):
                low = max(one for one, computed in seen.items() if computed > calls)
                high = min(one for one, computed in seen.items() if computed <= calls and one > low)
                if seen[high] == calls:
                    break
                threshold = (low * high) ** 0.5
                options = {"threshold": round(threshold, 6), "warm_up": warm_up}
                computed, decibels = bench.tried(policy, options)
                seen[threshold] = computed
                if computed not in nearest or decibels > nearest[computed][0]:
                    nearest[computed] = decibels, options
    return {calls: nearest[calls][1] for calls in budgets if calls in nearest}


def _chosen(bench: Bench, budgets: Sequence[int], magnitudes: Path) -> dict[int, dict[str, Any]]:
    """Find MagCache's thresholds without a run, then run what computes as often as a budget says."""
    schedule = Schedule(tuple(float(one) for one in bench.pipe.scheduler.timesteps))
    rules: dict[int, dict[str, Any]] = {}
    for calls in budgets:
        fitting = []
        for warm_up in WARM_UPS["magcache"]:
            options = {"file": str(magnitudes), "warm_up": warm_up, "longest": bench.bed.steps}
            thresholds = torch.logspace(-4, 1, 2000).tolist()
            for threshold in thresholds:
                rule = {**options, "threshold": round(threshold, 6)}
                if len(MagCache(**rule).key_steps(schedule)) == calls:
                    fitting.append(rule)
                    break
        if fitting:
            rules[calls] = max(fitting, key=lambda rule: bench.tried("magcache", rule)[1])
    return rules


def main() -> None:
    """Set the thresholds and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.rules", description=__doc__)
    parser.add_argument("--model", choices=TESTBEDS, default="shapes-flow")
    parser.add_argument("--captions", type=int, default=16, help="one batch of the last captions")
    parser.add_argument("--budgets", type=int, nargs="+", help="steps that are computed; default: those of the table")
    parser.add_argument("--out", type=Path, required=True, help="file to write; OUT's folder holds the magnitudes, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(TESTBEDS[options.model], options.captions, lambda line: print(line, flush=True))
    magnitudes = options.out.with_name(f"{options.out.stem.replace('rules', 'magnitudes')}.json")
    rules = found(bench, options.budgets or bench.bed.budgets, magnitudes)
    options.out.write_text(json.dumps(rules, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
