"""The frontier's tables: the best of every family by calls, the targets, and every row."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.frontier.bar import best
from benchmarks.frontier.cells import LIMIT, TITLES, Record, line, signed, titled, value
from benchmarks.frontier.targets import told

FAMILIES = {
    "tuned": "trunk, tuned",
    "trunk": "trunk, early keys",
    "knots": "Euler at tuned timesteps",
    "stock": "fewer steps",
    "deepcache": "DeepCache",
    "paper": "encoder (the paper)",
    "residual": "residual caches",
    "guidance": "guidance rows left out",
    "leaveout": "Euler, last steps left out",
    "earlystop": "early stop",
}


def markdown(record: Record) -> list[str]:
    """Return the page: how it was measured, then the tables."""
    settings, machine = record["settings"], record["hardware"]
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("torch", "diffusers"))
    return [
        f"{_captions(settings)}, guidance {settings['guidance']:g}, batches of {settings['batch']},"
        f" against {titled(record['reference'])} of the same noise; {machine['cpu']}, one thread, {versions}. ± is one "
        "standard error; differences are paired, picture by picture.",
        "",
        *_best(record),
        "",
        "The best of every method by PSNR (dB, accuracy, GFLOPs); parts other than the trunk cost more per call:",
        "",
        *_methods(record),
        "",
        *told(record),
        "",
        *_limit(record),
        "Every row, by falling calls and falling PSNR; `flipped` is the share of pictures below 25 dB:",
        "",
        *_every(record),
    ]


def _captions(settings: Record) -> str:
    unseen = f", those after the first {settings['first']}, by which rows were chosen" if settings["first"] else ""
    return f"{settings['captions']} held-out captions{unseen}"


def _best(record: Record) -> Iterator[str]:
    """The best stock row per score beside the tuned one, for every number of calls."""
    yield "| calls | fewer steps, best by PSNR | trunk, tuned: dB, accuracy | paired difference | best by accuracy |"
    yield "|---|---|---|---|---|"
    rows = {row["name"]: row for row in record["rows"]}
    for row in sorted(record["rows"], key=lambda row: -row["calls"]):
        stock = row["against_stock"]
        if row["family"] == "tuned" and {"psnr", "accuracy"} <= stock.keys():
            by = {score: rows[stock[score]["row"]] for score in ("psnr", "accuracy")}
            yield line(
                [
                    str(row["calls"]),
                    f"{by['psnr']['name']}: {value(by['psnr'], 'psnr')}, {value(by['psnr'], 'accuracy')}",
                    f"**{value(row, 'psnr')}**, {value(row, 'accuracy')}",
                    f"{signed(stock['psnr'], 'psnr')} dB, {signed(stock['accuracy'], 'accuracy')}",
                    f"{by['accuracy']['name']}: {value(by['accuracy'], 'accuracy')}",
                ]
            )


def _methods(record: Record) -> Iterator[str]:
    """The best row of every family, for every number of calls."""
    rows = record["rows"]
    present = {family: title for family, title in FAMILIES.items() if any(row["family"] == family for row in rows)}
    yield line(["calls", *present.values()])
    yield "|" + "---|" * (1 + len(present))
    for calls in sorted({row["calls"] for row in rows if row["family"] == "stock"}, reverse=True):
        found = [best(rows, family, calls, "psnr") for family in present]
        yield line([str(calls), *("" if row is None else _in_short(row) for row in found)])


def _in_short(row: Record) -> str:
    scores = row["scores"]
    return f"{scores['psnr']['value']:.1f}, {scores['accuracy']['value']:.3f}, {row['gflops']:.3g}"


def _limit(record: Record) -> Iterator[str]:
    """How near the tuned rows are to what a sampler comes to with more and more steps, beside fewer steps."""
    rows = {row["name"]: row for row in record["rows"]}
    tuned = [row for row in rows.values() if row["family"] == "tuned" and "limit" in row["against_stock"]]
    if not tuned:
        return
    reference, limit = rows[record["reference"]], rows["limit"]
    yield (
        f"To the limit of all these samplers ({limit['calls']} steps of a solver of second order), where "
        f"{titled(reference['name'])} itself is at {value(reference, 'limit')} dB:"
    )
    yield ""
    yield "| calls | fewer steps, nearest to the limit | trunk, tuned | paired difference |"
    yield "|---|---|---|---|"
    for row in sorted(tuned, key=lambda row: -row["calls"]):
        stock = row["against_stock"]["limit"]
        other = f"{stock['row']}: {value(rows[stock['row']], 'limit')}"
        yield line([str(row["calls"]), other, value(row, "limit"), signed(stock, "limit")])
    yield ""


def _every(record: Record) -> Iterator[str]:
    has_limit = any("limit" in row["scores"] for row in record["rows"])
    titles = TITLES | ({"limit": LIMIT} if has_limit else {})
    yield line(
        [
            "row",
            "calls",
            *titles.values(),
            "median dB",
            "flipped",
            "to the reference's accuracy",
            "GFLOPs",
            "denoiser s",
            "interleaved s",
        ]
    )
    yield "|" + "---|" * (len(titles) + 8)
    for row in sorted(record["rows"], key=lambda row: (-row["calls"], -row["scores"]["psnr"]["value"])):
        yield line(
            [
                row["name"],
                str(row["calls"]),
                *(value(row, score) for score in titles),
                f"{row['psnr_median']:.1f}",
                f"{row['flipped']:.0%}",
                signed(row["against_reference"]["accuracy"], "accuracy"),
                f"{row['gflops']:.3g}",
                *("" if row[key] is None else f"{row[key]:.2f}" for key in ("denoiser_s", "interleaved_s")),
            ]
        )
