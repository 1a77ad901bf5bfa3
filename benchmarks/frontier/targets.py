"""What is asked of the tuned rows, and by how much they meet or miss it.

``python -m benchmarks.frontier.targets benchmarks/results/frontier-g7.5.json`` prints it of a file of figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.frontier.cells import TITLES, line, signed, value

PSNR = {7.5: {20: 44.0, 16: 41.0, 14: 40.0, 12: 36.0, 10: 33.0}}
KEEPS_ACCURACY = 10  # the fewest calls that shall lose nothing against the reference
OTHERS = ("accuracy", "texture", "spectra")
TIME = 0.1  # by how much seconds may exceed calls times the seconds of one call


def judged(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every target of the tuned rows: what was asked, what came, whether it is met, and by how much."""
    rows = {row["name"]: row for row in record["rows"]}
    call = _call_seconds(rows[record["reference"]])
    floors = _floors(record)
    found = []
    for row in sorted(record["rows"], key=lambda row: -row["calls"]):
        if row["family"] == "tuned":
            found += [{"calls": row["calls"], **one} for one in _of(row, floors, call)]
    return found


def _floors(record: Mapping[str, Any]) -> Mapping[int, float]:
    return PSNR.get(record["settings"]["guidance"], {}) if record["reference"] == "ddim-50" else {}


def _of(row: Mapping[str, Any], floors: Mapping[int, float], call: float) -> Iterator[dict[str, Any]]:
    scores, stock, calls = row["scores"], row["against_stock"], row["calls"]
    floor = floors.get(calls)
    if floor is not None:
        yield _target(f"PSNR at least {floor:g} dB", scores["psnr"]["value"] - floor)
    if calls >= KEEPS_ACCURACY:
        yield _target("accuracy not below the reference's", row["against_reference"]["accuracy"]["value"])
    for score, named in (("psnr", "PSNR"), ("accuracy", "accuracy")):
        if score in stock:
            yield _target(f"{named} not below the best stock row's", stock[score]["value"])
    for score in ("texture", "spectra"):
        if score in stock:
            allowed = 2 * stock[score]["error"]
            yield _target(
                f"{score} not worse than the best stock row's by twice the error", allowed - stock[score]["value"]
            )
    seconds = row.get("interleaved_s")
    if seconds is not None:
        yield _target("seconds within 10 % of calls x one call", (1 + TIME) - seconds / (calls * call))


def _call_seconds(reference: Mapping[str, Any]) -> float:
    return (reference.get("interleaved_s") or reference["denoiser_s"]) / reference["calls"]


def _target(asked: str, margin: float) -> dict[str, Any]:
    return {"target": asked, "met": margin >= -1e-9, "margin": margin}


def asked(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the PSNR that was asked of the tuned rows beside what came, and the paired differences of other scores."""
    floors = _floors(record)
    rows = {row["calls"]: row for row in record["rows"] if row["family"] == "tuned" and row["calls"] in floors}
    if not rows:
        return
    yield "What was asked of the tuned trunk; other scores are paired with the stock row that is best by each of them:"
    yield ""
    yield line(
        ["calls", "asked, dB", "came", "", *(f"{TITLES[score]}, paired" for score in OTHERS), "to the reference"]
    )
    yield "|" + "---|" * (5 + len(OTHERS))
    for calls, row in sorted(rows.items(), reverse=True):
        margin = row["scores"]["psnr"]["value"] - floors[calls]
        stock = row["against_stock"]
        yield line(
            [
                str(calls),
                f"{floors[calls]:g}",
                value(row, "psnr"),
                f"{'met' if margin >= 0 else 'missed'} by {abs(margin):.1f}",
                *(signed(stock[score], score) if score in stock else "" for score in OTHERS),
                signed(row["against_reference"]["accuracy"], "accuracy"),
            ]
        )
    yield ""


def told(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was asked and came, how many targets are met, and which are missed by how much."""
    found = judged(record)
    yield from asked(record)
    yield f"Targets of the tuned rows: {sum(one['met'] for one in found)} of {len(found)} met. Missed, and by how much:"
    yield ""
    missed = [one for one in found if not one["met"]]
    yield from (f"- {one['calls']} calls: {one['target']}: missed by {-one['margin']:.3g}" for one in missed)
    if not missed:
        yield "- none"


def main() -> None:
    """Print the targets of a file of figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.targets", description=__doc__)
    parser.add_argument("figures", type=Path, help="what `benchmarks.frontier --report` wrote")
    print("\n".join(told(json.loads(parser.parse_args().figures.read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
