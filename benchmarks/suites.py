"""The published ablations on the embedded model, each table with the paper's figures beside ours.

    python -m benchmarks.suites --captions 64          # all on the embedded models, about an hour on 2 cores
    python -m benchmarks.suites --suites table5 table6
    python -m benchmarks.suites --page                 # the page again, from what was measured

Writes `benchmarks/results/suites.json` and `suites.md`. Each suite is what `fdplug compare --suite` does; suites that
are not asked for keep what an earlier run measured. Times are kept from a GPU only: those of a small model on a CPU are
mostly overhead, and say nothing about the published ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from fdplug.commands import compare as compare_command
from fdplug.predict.comparison import table
from fdplug.suites.suite import NAMES

RESULTS = Path(__file__).parent / "results"
KEPT = ("created", "hardware", "versions", "settings", "hashes", "variants", "published", "warnings")
SHOWN = (
    "variant",
    "key steps",
    "shapes-FD x1000",
    "semantic accuracy",
    "outline F1",
    "texture dB",
    "PSNR dB",
    "speed-up",
)
TIMED = ("denoiser s", "total s", "FTC")


def parser() -> argparse.ArgumentParser:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suites", nargs="+", choices=NAMES, default=list(NAMES), help="which tables")
    parser.add_argument("--captions", type=int, default=64, help="images of each variant (default 64)")
    parser.add_argument("--pictures", type=Path, default=Path("outputs/suites"), help="folder of pictures and reports")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page from suites.json")
    return parser


def measure(name: str, captions: int, pictures: Path) -> dict[str, Any]:
    """Run one suite, or go on with it; returns what its `results.json` holds, without the pictures."""
    given = ["--suite", name, "--limit", str(captions), "--feature-changes", "0", "--out", str(pictures / name)]
    if not torch.cuda.is_available():  # times are not kept then
        given += ["--timed-rounds", "1", "--batch-size", str(max(1, min(16, captions // 2)))]
    options = compare_command.parser().parse_args(given)
    results = compare_command.compare(options, Console())
    kept = {key: results[key] for key in KEPT}
    return kept if results["hardware"]["device"].startswith("cuda") else without_times(kept)


def without_times(results: Mapping[str, Any]) -> dict[str, Any]:
    """The results of a suite but for seconds, and what is made of them."""
    rows = [{key: value for key, value in row.items() if not _is_time(key)} for row in results["variants"]]
    beside = results["published"]
    kept = [title for title in beside["head"] if not title.startswith(TIMED)]
    return {**results, "variants": rows, "published": _only(beside, kept)}


def _only(whole: Mapping[str, Any], titles: Sequence[str]) -> dict[str, Any]:
    """A table's columns of these titles, in the table's order where it has them."""
    places = [place for place, title in enumerate(whole["head"]) if title in titles]
    lines = [[cells[place] for place in places] for cells in (whole["head"], *whole["body"])]
    return {**whole, "head": lines[0], "body": lines[1:]}


def _is_time(key: str) -> bool:
    return "seconds" in key or "speedup" in key or key == "rounds"


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """All suites as Markdown: the paper's figures beside ours, then what only we measure."""
    return "\n".join(line for name in NAMES if name in found for line in _section(found[name]))


def _section(results: Mapping[str, Any]) -> Iterator[str]:
    beside, settings, hardware = results["published"], results["settings"], results["hardware"]
    yield f"### {beside['title']}\n"
    yield table.to_markdown(beside)
    yield table.to_markdown(_only(table.texts(results["variants"]), SHOWN))
    yield from (f"- {note}" for note in (*beside["notes"], *results["warnings"]))
    yield (
        f"- Ours: {settings['images_per_variant']} captions, seed {settings['seed']},"
        f" {hardware.get('gpu', hardware['cpu'])}. ± is a standard error.\n"
    )


def main() -> None:
    """Run the suites that are asked for, keep and print the page."""
    options = parser().parse_args()
    path = RESULTS / "suites.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in () if options.page else options.suites:
        found[name] = measure(name, options.captions, options.pictures)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = page(found)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
