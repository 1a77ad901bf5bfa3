"""Key steps of their own for the parts that look at the sample or the time: the paper's encoder, and DeepCache.

```bash
python -m benchmarks.frontier.keys --tuned benchmarks/results/frontier-tuned-g7.5.json --budgets 20 10 \
    --out benchmarks/results/frontier-keys-g7.5.json
```

Captions are the last ones of the file, which nothing is judged on. Where predictions do not depend on the sample, the
error of every span is measured and the run is cut by dynamic programming, as by `fdplug tune --part encoder`. From the
best of that cut, the trunk's tuned key steps and uniform ones, key steps are moved one by one; each candidate is run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.frontier.testbeds import TESTBEDS, Testbed
from fdplug import registry
from fdplug.builtin.tuned import TunedSchedule
from fdplug.config import PropagationConfig
from fdplug.lookup import find_family, find_part
from fdplug.policies import Schedule, Uniform
from fdplug.predict.data.captions import default_annotations, read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loading import load_pipeline, own_settings
from fdplug.tuning.calibration import calibrate
from fdplug.tuning.local_search import refine
from fdplug.tuning.optimal_spans import Segmentation, segment
from fdplug.tuning.trials import Trials


class Search:
    """Searches the key steps of one part.

    Args:
        bed: the model.
        part: what is replayed.
        options: of the command line.
    """

    def __init__(self, bed: Testbed, part: str, options: argparse.Namespace) -> None:
        self._bed, self._part, self._options = bed, part, options
        self._pipe = load_pipeline(bed.model)
        self._pipe.scheduler = registry.build("sampler", bed.sampler).fit(self._pipe.scheduler)
        guidance = bed.guidance if options.guidance is None else options.guidance
        config = GenerationConfig(sampler=bed.sampler, steps=bed.steps, guidance=guidance)
        self._generation = config.resolved(**own_settings(bed.model))
        self._captions = read_captions(default_annotations(bed.model))[-options.captions :]
        self._trials = Trials(self._pipe, self._images, settings=PropagationConfig(part=part, injector="none"))
        self._cuts = self._cut()

    def _images(self) -> torch.Tensor:
        return run(self._pipe, self._captions, self._generation).images

    def _cut(self) -> list[Segmentation]:
        """Return the best cut for every number of key steps, if a calibration can tell."""
        if not find_part(self._part, *find_family(self._pipe))[0].sample_free:
            return []
        return segment(calibrate(self._pipe, self._images, part=self._part, responses=self._options.responses).costs)

    def _starts(self, calls: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        if self._cuts:
            yield "calibrated", self._cuts[calls - 1].keys
        if self._options.tuned is not None:
            yield "the trunk's", TunedSchedule.load(self._options.tuned).curve[calls - 1].keys
        timesteps = tuple(float(one) for one in self._pipe.scheduler.timesteps)
        yield "uniform", tuple(sorted(Uniform(count=calls).key_steps(Schedule(timesteps))))

    def best(self, calls: int) -> tuple[int, ...]:
        """Return the key steps with which a typical picture changes least, as far as the runs allow."""
        starts = dict(self._starts(calls))
        found = refine(starts.values(), self._bed.steps, self._error, self._options.refine)
        came = ", ".join(f"{name} {self._error(keys):.2f}" for name, keys in starts.items())
        print(f"{self._part}, {calls}: {came}; after {found.tried} runs {found.error:.2f} dB: {found.keys}", flush=True)
        return found.keys

    def _error(self, keys: tuple[int, ...]) -> float:
        return self._trials.of(keys).typical


def main() -> None:
    """Search, and write what was found after each part and budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.keys", description=__doc__)
    add = parser.add_argument
    add("--model", choices=TESTBEDS, default="shapes")
    add("--guidance", type=float, help="default: that of the model's table")
    add("--parts", nargs="+", default=["encoder", "deepcache"])
    add("--budgets", type=int, nargs="+", default=[20, 10], help="numbers of key steps")
    add("--captions", type=int, default=8)
    add("--responses", type=int, default=4, help="runs that measure what the denoiser leaves of an error")
    add("--refine", type=int, default=16, help="candidates to run, those that are begun from included")
    add("--tuned", type=Path, help="what `fdplug tune --part trunk` wrote, to begin from as well")
    add("--out", type=Path, required=True, help="file to write, or to add to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for part in options.parts:
        search = Search(TESTBEDS[options.model], part, options)
        for calls in options.budgets:
            found.setdefault(part, {})[str(calls)] = list(search.best(calls))
            options.out.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
