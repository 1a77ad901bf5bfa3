"""Where fewer steps win and where replaying does, on an embedded model: ``python -m benchmarks.frontier --out FOLDER``.

The reference is the model's own run: DDIM-50 of `shapes`, 28 Euler steps of `shapes-flow`. Every row generates the same
held-out captions from the same noise, 48 at a time; its pictures are kept in OUT/pictures, so that an interrupted run
goes on where it stopped, and a greater --captions only adds. ``--time`` runs the reference and the tuned rows in turns
and keeps the least seconds of each; ``--report`` writes OUT/frontier-gG.json, .md and .png, G the guidance (of
`shapes-flow`: frontier-shapes-flow-gG), from whatever rows are there. ``--add-to`` keeps the rows of such a file whose
pictures are not there.

``--reference dpm-solver++`` takes 20 steps of DPM-Solver++ on Karras levels in place of the model's own run; the files
are called frontier-dpm20-gG. The row `limit` is a run of so many steps that more change nothing; where it is there,
every row's PSNR to it is told, too.

Rows that were chosen by their figures are judged on other captions: ``--first 48 --contenders FIGURES`` takes the
captions after the first 48, and of the stock rows the two that are best by each score in that file; the files' names
end in `-unseen`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.frontier.bar import contenders
from benchmarks.frontier.pictures import generate, kept, starts, testbed, timed
from benchmarks.frontier.record import write
from benchmarks.frontier.rows import Found, Row, rows
from benchmarks.frontier.testbeds import OTHERS, TESTBEDS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__)
    add = described.add_argument
    add("--out", type=Path, required=True, help="folder for pictures and figures")
    add("--model", choices=TESTBEDS, default="shapes")
    add("--reference", choices=OTHERS, help="of shapes: another run than the model's own to replay and to compare with")
    add("--captions", type=int, default=192, help="how many of the held-out captions, in id order")
    add("--first", type=int, default=0, help="how many captions to leave out before them")
    add("--guidance", type=float, help="default: 7.5 of shapes, 4 of shapes-flow")
    add("--batch", type=int, default=16)
    add("--only", nargs="+", default=[""], metavar="START", help="rows whose names begin so")
    add("--contenders", type=Path, metavar="JSON", help="of the stock rows, only those that are best in this file")
    add("--budgets", type=int, nargs="+", help="denoiser calls; default: those of the model's table")
    add("--tuned", type=Path, help="what `fdplug tune --part trunk` wrote, for the tuned rows")
    add("--keys", type=Path, help="what `benchmarks.frontier.keys` wrote, for parts with key steps of their own")
    add("--rules", type=Path, help="what `benchmarks.frontier.rules` wrote, for the residual caches")
    add("--time", type=int, metavar="ROUNDS", help="time the reference and the tuned rows")
    add("--report", action="store_true", help="write the figures of the rows that are there")
    add(
        "--add-to",
        type=Path,
        metavar="JSON",
        help="with --report: keep this file's rows of which there are no pictures; rows that are added have no times",
    )
    return described


def chosen(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows that are asked for; the reference always."""
    stock = None if options.contenders is None else contenders(json.loads(options.contenders.read_text()))
    found = Found(tuned=options.tuned, keys=options.keys, rules=options.rules)
    for row in rows(testbed(options), found, options.budgets):
        asked = row.name.startswith(tuple(options.only)) and (
            row.family != "stock" or stock is None or row.name in stock
        )
        if asked or row.family in ("reference", "limit"):
            yield row


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate what is missing, or write the figures."""
    options = parser().parse_args(arguments)
    if options.reference is not None and options.model != OTHERS[options.reference].model:
        parser().error(f"--reference {options.reference} is of {OTHERS[options.reference].model}, not {options.model}")
    options.guidance = testbed(options).guidance if options.guidance is None else options.guidance
    torch.set_num_threads(1)
    asked = list(chosen(options))
    if options.report:
        write(options, [row for row in asked if all(kept(options, row, start).exists() for start in starts(options))])
        return
    if options.time:
        timed(options, asked)
        return
    for start in starts(options):
        for row in asked:
            generate(options, row, start)


if __name__ == "__main__":
    main()
