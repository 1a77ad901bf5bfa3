r"""What `fdplug optimize` answered for several budgets, beside the best that fewer steps can do, from its presets.

```bash
fdplug optimize --model shapes-flow --sampler own --steps 28 --budget 5x 3x 2x 1.5x lossless --trials 24 --held-out 48 \
  --batch-size 8 --out outputs/shapes-flow.yaml
python -m benchmarks.optimized outputs/shapes-flow-*.yaml
```

Rows are added to `benchmarks/results/optimize.json`, in place of those of the same model, guidance, budget and seed;
`optimize.md` is written from it; `optimize-by-hand.md` sets it beside the rows of `benchmarks.frontier`, and
`optimize-seeds.md` the answers of one seed beside those of another.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fdplug.files.text_tables import markdown_table
from fdplug.optimization.judging import LATE

RESULTS = Path(__file__).parent / "results"
HEAD = (
    "model, guidance, budget",
    "taken",
    "speed",
    "PSNR dB",
    "accuracy",
    "best of fewer steps",
    "speed",
    "PSNR dB",
    "accuracy",
    "captions, seed",
    "minutes",
)
KEY = ("model", "guidance", "budget", "seed")
Row = Mapping[str, Any]


def row_of(preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the results keep of a preset."""
    told, rows = preset["circumstances"], preset["figures"]["rows"]
    taken = next(row for row in rows if is_it(row, preset["settings"]))
    bar = max((row for row in rows if "fewer steps" in row["roles"]), key=lambda row: row["psnr"], default=None)
    return {
        "model": preset["made_for"]["model"],
        "guidance": preset["settings"]["guidance"],
        "budget": preset["about"].rpartition(" for budget ")[2],
        "seed": told["seed"],
        "taken": figures(taken),
        "bar": None if bar is None else figures(bar),
        "bar_keeps": "no fewer steps that were tried keep" not in preset["figures"]["verdict"],
        "held_out": told["held_out"],
        "minutes": _minutes(told, "search_seconds"),
        "processor_minutes": _minutes(told, "processor_seconds"),
        "cpu": told["hardware"]["cpu"],
        "versions": {name: told["versions"][name] for name in ("torch", "diffusers")},
    }


def _minutes(told: Mapping[str, Any], name: str) -> float | None:
    return round(told[name] / 60, 1) if name in told else None


def is_it(row: Row, chosen: Mapping[str, Any]) -> bool:
    """Whether a judged row has the settings of the preset."""
    return all(row[key] == chosen[key] for key in ("sampler", "steps", "propagation"))


def figures(row: Row) -> dict[str, Any]:
    """Return settings, speed, PSNR and accuracy of a judged row."""
    kept = ("settings", "speedup", "calls", "psnr", "psnr_error", "semantic_accuracy")
    return {key: row[key] for key in kept if key in row}


def merged(known: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return the rows of both, new ones in place of known ones with the same key, in order."""
    found = {tuple(row[key] for key in KEY): row for row in [*known, *new]}
    return sorted(found.values(), key=lambda row: (row["model"], -row["guidance"], _order(row["budget"]), row["seed"]))


def _order(budget: str) -> float:
    return float(budget[:-1]) if budget.endswith("x") else 0.0


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    processors = " or ".join(sorted({row["cpu"] for row in rows}))
    yield (
        f"One thread of {processors}, torch {_versions(rows, 'torch')}, diffusers {_versions(rows, 'diffusers')}; "
        "PSNR is to the settings as they were, of the same seeds. ± is one standard error. Minutes are those of the "
        "whole search on a machine that others used as well, in brackets those of the processor. Missed: more than a "
        "twentieth slower on held-out captions than the budget, for which it was priced, allows."
    )
    yield ""
    yield from markdown_table(HEAD, [cells(row) for row in rows]).splitlines()


def _versions(rows: Sequence[Row], name: str) -> str:
    return " and ".join(sorted({row["versions"][name] for row in rows}))


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    bar = ["none", "", "", ""] if row["bar"] is None else _shown(row["bar"])
    bar[0] += "" if row["bar_keeps"] else ", which does not keep it"
    minutes = "" if row["minutes"] is None else f"{row['minutes']:.0f}"
    minutes += "" if row["processor_minutes"] is None else f" ({row['processor_minutes']:.1f})"
    taken = _shown(row["taken"])
    taken[1] += ", missed" if _missed(row) else ""
    return [_title(row), *taken, *bar, f"{row['held_out']}, {row['seed']}", minutes]


def _missed(row: Row) -> bool:
    """Whether a budget such as `3x` was not kept by the clock."""
    return row["budget"].endswith("x") and row["taken"]["speedup"] * LATE < float(row["budget"][:-1])


def _shown(row: Row) -> list[str]:
    return [row["settings"], f"{row['speedup']:.2f}x", _decibels(row), f"{row['semantic_accuracy']:.3f}"]


def _decibels(row: Row) -> str:
    return f"{row['psnr']:.1f} ±{row['psnr_error']:.1f}"


SEEDS = ("model, guidance, budget", "seed", "taken", "PSNR dB", "seed", "taken", "PSNR dB", "difference", "speed")


def seeds(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table: what was taken with one seed beside what was taken with the next."""
    known: dict[str, list[Row]] = {}
    for row in rows:
        known.setdefault(_title(row), []).append(row)
    yield (
        "PSNR is that of what was taken, each seed on images of its own; the difference is that of the later seed to "
        "the first one, with the root of both squared errors. Speed is that of the later over that of the first."
    )
    yield ""
    pairs = [(first, other) for first, *others in known.values() for other in others]
    yield from markdown_table(SEEDS, [_apart(first, other) for first, other in pairs]).splitlines()


def _apart(first: Row, other: Row) -> list[str]:
    """Return the cells of two answers, which lie apart by the last two."""
    one, two = first["taken"], other["taken"]
    error = math.hypot(one["psnr_error"], two["psnr_error"])
    apart = f"{two['psnr'] - one['psnr']:+.1f} ±{error:.1f}"
    told = [[str(row["seed"]), row["taken"]["settings"], _decibels(row["taken"])] for row in (first, other)]
    return [_title(first), *told[0], *told[1], apart, f"{two['speedup'] / one['speedup']:.2f}x"]


BY_HAND = ("model, guidance, budget", "taken", "best by hand", "bar", "best of fewer steps by hand")


def by_hand(rows: Sequence[Row], frontiers: Mapping[float, Sequence[Row]]) -> Iterator[str]:
    """Yield the lines of a table: what was taken beside the best rows that were made by hand.

    Args:
        rows: those of `shapes` with a budget of time are shown.
        frontiers: rows of `benchmarks.frontier` by guidance.
    """
    yield (
        "PSNR in dB at so many denoiser calls. By hand: the best of all rows but the paper's with as many calls, or "
        "of those with next fewer and next more. Captions are not all the same, and by hand equal images count as "
        "54.2 dB, here as 58.9."
    )
    yield ""
    timed = [row for row in rows if row["model"] == "shapes" and row["budget"].endswith("x") and row["bar"] is not None]
    yield from markdown_table(BY_HAND, [_beside(row, frontiers[row["guidance"]]) for row in timed]).splitlines()


def _beside(row: Row, frontier: Sequence[Row]) -> list[str]:
    known = [one for one in frontier if one["family"] not in ("reference", "paper")]
    stock = [one for one in known if one["family"] == "stock"]
    taken, bar = row["taken"], row["bar"]
    return [_title(row), _at(taken), _near(known, taken), _at(bar), _near(stock, bar)]


def _title(row: Row) -> str:
    return f"{row['model']}, {row['guidance']:g}, {row['budget']}"


def _at(row: Row) -> str:
    return f"{row['calls']:.0f}: {_decibels(row)}"


def _near(rows: Sequence[Row], row: Row) -> str:
    """Return the best rows with as many calls, or with next fewer and next more."""
    calls, counts = round(row["calls"]), {one["calls"] for one in rows}
    around = {calls} & counts or {
        *sorted(one for one in counts if one < calls)[-1:],
        *sorted(one for one in counts if one > calls)[:1],
    }
    best = [max((one for one in rows if one["calls"] == count), key=_psnr) for count in sorted(around)]
    return "; ".join(f"{one['name']} {_psnr(one):.1f} ±{one['scores']['psnr']['error']:.1f}" for one in best)


def _psnr(row: Row) -> float:
    return row["scores"]["psnr"]["value"]


def frontiers() -> dict[float, list[Row]]:
    """Return the rows that were made by hand, by guidance."""
    return {g: json.loads((RESULTS / f"frontier-g{g:g}.json").read_text())["rows"] for g in (4.0, 7.5)}


def main(paths: Sequence[str]) -> None:
    """Add presets to the results and write the table."""
    held = RESULTS / "optimize.json"
    rows = merged(
        json.loads(held.read_text())["rows"], [row_of(yaml.safe_load(Path(path).read_text())) for path in paths]
    )
    held.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (RESULTS / "optimize.md").write_text("\n".join(table(rows)) + "\n")
    (RESULTS / "optimize-seeds.md").write_text("\n".join(seeds(rows)) + "\n")
    (RESULTS / "optimize-by-hand.md").write_text("\n".join(by_hand(rows, frontiers())) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
