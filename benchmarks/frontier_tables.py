"""The frontier's tables: the best of every family by calls, the targets, and every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.frontier_scores import better
from benchmarks.frontier_targets import PSNR

Record = Mapping[str, Any]
TITLES = {"psnr": "PSNR dB", "accuracy": "accuracy", "texture": "texture dB", "spectra": "spectra FD"}
OTHERS = ("accuracy", "texture", "spectra")
FAMILIES = {
    "tuned": "trunk, tuned",
    "trunk": "trunk, early keys",
    "stock": "fewer steps",
    "deepcache": "DeepCache",
    "paper": "encoder (the paper)",
    "residual": "residual caches",
    "guidance": "guidance rows left out",
    "earlystop": "early stop",
}


def markdown(record: Record) -> list[str]:
    """Return the page: how it was measured, then the tables."""
    settings, machine = record["settings"], record["hardware"]
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("torch", "diffusers"))
    return [
        f"{settings['captions']} held-out captions, guidance {settings['guidance']:g}, batches of {settings['batch']},"
        f" against {titled(record['reference'])} of the same noise; {machine['cpu']}, one thread, {versions}. ± is one "
        "standard error; differences are paired, picture by picture.",
        "",
        *_best(record),
        "",
        "The best of every method by PSNR (dB, accuracy, GFLOPs); parts other than the trunk cost more per call:",
        "",
        *_methods(record),
        "",
        *_targets(record),
        "",
        "Every row, by falling calls and falling PSNR; `flipped` is the share of pictures below 25 dB:",
        "",
        *_every(record),
    ]


def titled(reference: str) -> str:
    """Return the name of a reference for people."""
    return {"ddim-50": "DDIM-50", "flow-euler-28": "28 Euler steps"}.get(reference, reference)


def _best(record: Record) -> Iterator[str]:
    """The best stock row per score beside the tuned one, for every number of calls."""
    yield "| calls | fewer steps, best by PSNR | trunk, tuned: dB, accuracy | paired difference | best by accuracy |"
    yield "|---|---|---|---|---|"
    rows = {row["name"]: row for row in record["rows"]}
    for row in sorted(record["rows"], key=lambda row: -row["calls"]):
        stock = row["against_stock"]
        if row["family"] == "tuned" and {"psnr", "accuracy"} <= stock.keys():
            by = {score: rows[stock[score]["row"]] for score in ("psnr", "accuracy")}
            yield _line(
                [
                    str(row["calls"]),
                    f"{by['psnr']['name']}: {_value(by['psnr'], 'psnr')}, {_value(by['psnr'], 'accuracy')}",
                    f"**{_value(row, 'psnr')}**, {_value(row, 'accuracy')}",
                    f"{_signed(stock['psnr'], 1)} dB, {_signed(stock['accuracy'], 3)}",
                    f"{by['accuracy']['name']}: {_value(by['accuracy'], 'accuracy')}",
                ]
            )


def _methods(record: Record) -> Iterator[str]:
    """The best row of every family, for every number of calls."""
    rows = record["rows"]
    present = {family: title for family, title in FAMILIES.items() if any(row["family"] == family for row in rows)}
    yield _line(["calls", *present.values()])
    yield "|" + "---|" * (1 + len(present))
    for calls in sorted({row["calls"] for row in rows if row["family"] == "stock"}, reverse=True):
        found = [best(rows, family, calls, "psnr") for family in present]
        yield _line([str(calls), *("" if row is None else _in_short(row) for row in found)])


def _in_short(row: Record) -> str:
    scores = row["scores"]
    return f"{scores['psnr']['value']:.1f}, {scores['accuracy']['value']:.3f}, {row['gflops']:.3g}"


def _targets(record: Record) -> Iterator[str]:
    met = sum(one["met"] for one in record["targets"])
    yield from asked(record)
    yield f"Targets of the tuned rows: {met} of {len(record['targets'])} met. Missed, and by how much:"
    yield ""
    missed = [one for one in record["targets"] if not one["met"]]
    yield from (f"- {one['calls']} calls: {one['target']}: missed by {-one['margin']:.3g}" for one in missed)
    if not missed:
        yield "- none"


def asked(record: Record) -> Iterator[str]:
    """Yield the PSNR that was asked of the tuned rows beside what came, and the paired differences of other scores."""
    floors = PSNR.get(record["settings"]["guidance"], {}) if record["reference"] == "ddim-50" else {}
    rows = {row["calls"]: row for row in record["rows"] if row["family"] == "tuned" and row["calls"] in floors}
    if not rows:
        return
    yield "What was asked of the tuned trunk; other scores are paired with the stock row that is best by each of them:"
    yield ""
    yield _line(
        ["calls", "asked, dB", "came", "", *(f"{TITLES[score]}, paired" for score in OTHERS), "to the reference"]
    )
    yield "|" + "---|" * (5 + len(OTHERS))
    for calls, row in sorted(rows.items(), reverse=True):
        margin = row["scores"]["psnr"]["value"] - floors[calls]
        stock = row["against_stock"]
        yield _line(
            [
                str(calls),
                f"{floors[calls]:g}",
                _value(row, "psnr"),
                f"{'met' if margin >= 0 else 'missed'} by {abs(margin):.1f}",
                *(_signed(stock[score], _digits(score)) if score in stock else "" for score in OTHERS),
                _signed(row["against_reference"]["accuracy"], 3),
            ]
        )
    yield ""


def _every(record: Record) -> Iterator[str]:
    yield _line(
        [
            "row",
            "calls",
            *TITLES.values(),
            "median dB",
            "flipped",
            "to the reference's accuracy",
            "GFLOPs",
            "denoiser s",
            "interleaved s",
        ]
    )
    yield "|" + "---|" * (len(TITLES) + 8)
    for row in sorted(record["rows"], key=lambda row: (-row["calls"], -row["scores"]["psnr"]["value"])):
        yield _line(
            [
                row["name"],
                str(row["calls"]),
                *(_value(row, score) for score in TITLES),
                f"{row['psnr_median']:.1f}",
                f"{row['flipped']:.0%}",
                _signed(row["against_reference"]["accuracy"], 3),
                f"{row['gflops']:.3g}",
                f"{row['denoiser_s']:.2f}",
                "" if row["interleaved_s"] is None else f"{row['interleaved_s']:.2f}",
            ]
        )


def best(rows: Sequence[Record], family: str, calls: int, score: str) -> Record | None:
    """Return the best row of a family and a number of calls by a score; None where there is none."""
    found: Record | None = None
    for row in (row for row in rows if row["family"] == family and row["calls"] == calls):
        if found is None or better(row["scores"][score]["value"], found["scores"][score]["value"], score):
            found = row
    return found


def _value(row: Record, score: str) -> str:
    digits = _digits(score)
    one = row["scores"][score]
    return f"{one['value']:.{digits}f} ±{one['error']:.{digits}f}"


def _digits(score: str) -> int:
    return {"psnr": 1, "accuracy": 3}.get(score, 2)


def _signed(one: Mapping[str, float], digits: int) -> str:
    return f"{one['value']:+.{digits}f} ±{one['error']:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
