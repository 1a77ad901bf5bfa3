"""What is asked of the tuned rows, and by how much they meet or miss it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PSNR = {7.5: {20: 44.0, 16: 41.0, 14: 40.0, 12: 36.0, 10: 33.0}}
KEEPS_ACCURACY = 10  # the fewest calls that shall lose nothing against the reference
TIME = 0.1  # by how much seconds may exceed calls times the seconds of one call


def judged(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every target of the tuned rows: what was asked, what came, whether it is met, and by how much."""
    rows = {row["name"]: row for row in record["rows"]}
    call = _call_seconds(rows[record["reference"]])
    floors = PSNR.get(record["settings"]["guidance"], {}) if record["reference"] == "ddim-50" else {}
    found = []
    for row in sorted(record["rows"], key=lambda row: -row["calls"]):
        if row["family"] == "tuned":
            found += [{"calls": row["calls"], **one} for one in _of(row, floors, call)]
    return found


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
