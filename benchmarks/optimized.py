r"""What `fdplug optimize` answered for several budgets, beside the best that fewer steps can do, from its presets.

```bash
for budget in 1.5x 2x 3x 5x lossless; do
  fdplug optimize --model shapes-flow --sampler own --steps 28 --budget $budget --trials 24 --held-out 48 \
    --batch-size 8 --work outputs/search --out outputs/shapes-flow-$budget.yaml
done
python -m benchmarks.optimized outputs/shapes-flow-*.yaml > benchmarks/results/optimize.md
```
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HEAD = ("model, budget", "taken", "speed", "PSNR dB", "accuracy", "best of fewer steps", "speed", "PSNR dB", "accuracy")


def table(paths: Sequence[str | Path]) -> Iterator[str]:
    """Yield the lines of the table, a row for every preset."""
    held = [yaml.safe_load(Path(path).read_text()) for path in paths]
    yield f"{summary(held[0])} ± is one standard error."
    yield ""
    yield f"| {' | '.join(HEAD)} |"
    yield "|" + "---|" * len(HEAD)
    for path, preset in zip(paths, held, strict=True):
        yield f"| {' | '.join(cells(Path(path), preset))} |"


def summary(preset: Mapping[str, Any]) -> str:
    """Say on what it was measured."""
    told = preset["circumstances"]
    return (
        f"{told['held_out']} held-out captions, batches of {told['batch_size']}, {told['hardware']['cpu']}, "
        f"{told['hardware']['torch_threads']} thread, torch {told['versions']['torch']}, "
        f"diffusers {told['versions']['diffusers']}; PSNR is to the settings as they were, of the same seeds."
    )


def cells(path: Path, preset: Mapping[str, Any]) -> list[str]:
    """Return the row of one preset: what was taken, and the best of fewer steps."""
    rows = preset["figures"]["rows"]
    chosen = preset["settings"]
    taken = next(row for row in rows if is_it(row, chosen))
    barred = [row for row in rows if "fewer steps" in row["roles"]]
    bar = max(barred, key=lambda row: row["psnr"], default=None)
    model, _, budget = path.stem.rpartition("-")
    others = ["none", "", "", ""] if bar is None else figures(bar)
    if "no number of fewer steps keeps" in preset["figures"]["verdict"]:
        others[0] += ", which does not keep it"
    return [f"{model}, {budget}", *figures(taken), *others]


def is_it(row: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether a judged row has the settings of the preset."""
    return all(row[key] == chosen[key] for key in ("sampler", "steps", "propagation"))


def figures(row: Mapping[str, Any]) -> list[str]:
    """Return settings, speed, PSNR and accuracy of a row."""
    psnr = f"{row['psnr']:.1f} ±{row['psnr_error']:.1f}"
    return [row["settings"], f"{row['speedup']:.2f}x", psnr, f"{row['semantic_accuracy']:.3f}"]


if __name__ == "__main__":
    print("\n".join(table(sys.argv[1:])))
