"""`fdplug report`: one page about a comparison, and the votes on its pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from fdplug import checks
from fdplug.commands.options import Parser
from fdplug.errors import ConfigError
from fdplug.files.writing import write_text
from fdplug.predict.comparison.table import print_texts
from fdplug.report.figures import figures
from fdplug.report.folder import read
from fdplug.report.running_costs import Rates
from fdplug.report.voting.pairs import read_key
from fdplug.report.voting.tally import table, tally
from fdplug.report.voting.votes import read_votes
from fdplug.report.write import PAIRS, VOTES, Choices, write, write_report

DESCRIPTION = """Write report.html and vote.html into a folder of `fdplug compare`: each one file, complete in itself.
With --votes, count what the voting page exported, and add it to the report."""


def main(argv: list[str]) -> int:
    """Run `fdplug report` with these arguments."""
    report(parser().parse_args(argv), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser, rates, shows = Parser(prog="fdplug report", description=DESCRIPTION), Rates(), Choices()
    parser.add_argument("folder", help="folder that `fdplug compare --out` wrote")
    parser.add_argument("--votes", nargs="+", metavar="FILE", help="votes*.json that the voting page exported")
    parser.add_argument("--analysis", metavar="FOLDER", help="also show the figures of `fdplug analyze` in this folder")
    parser.add_argument("--pictures", type=int, default=shows.pictures, help="per variant (default %(default)s)")
    parser.add_argument("--side", type=int, default=shows.side, help="reduce larger ones to this (default %(default)s)")
    parser.add_argument("--pairs", type=int, help=f"pairs to vote on (default {PAIRS})")
    parser.add_argument("--seed", type=int, help="of the pairs (default 0)")
    parser.add_argument("--power", type=float, default=rates.power, help="of the machine, in W (default %(default)s)")
    parser.add_argument("--price", type=float, default=rates.price, help="of an hour (default %(default)s)")
    parser.add_argument("--carbon", type=float, default=rates.carbon, help="g CO2 per kWh (default %(default)s)")
    return parser


def report(options: argparse.Namespace, console: Console) -> None:
    """Check, write, and say what was written."""
    choices = _choices(options)
    extra: dict[str, Any] = {"analysis": figures(options.analysis)} if options.analysis else {}
    if options.votes is None:
        paths = write(options.folder, choices, **extra)
    else:
        paths = _count(options, choices, extra, console)
    for path in paths:
        console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False, markup=False)


def _choices(options: argparse.Namespace) -> Choices:
    for name, least in (("pictures", 1), ("side", 16), ("pairs", 0), ("seed", 0)):
        if getattr(options, name) is not None:
            checks.whole(name, getattr(options, name), least)
    if options.votes is not None and (options.pairs, options.seed) != (None, None):
        raise ConfigError("--pairs and --seed choose pairs, and votes are about those chosen before: leave them out")
    rates = Rates(power=options.power, price=options.price, carbon=options.carbon)
    return Choices(pictures=options.pictures, side=options.side, pairs=options.pairs, seed=options.seed, rates=rates)


def _count(options: argparse.Namespace, choices: Choices, extra: dict[str, Any], console: Console) -> list[Path]:
    """Count votes, print them, and write them and the report; the voting page stays as it is."""
    compared = read(options.folder)
    study = read_key(compared.folder)
    votes = read_votes(options.votes, study)
    if not votes:
        raise ConfigError(f"{', '.join(options.votes)}: no votes in there yet")
    counted = {**table(tally(votes), len({vote.voter for vote in votes})), "study": study.digest}
    print_texts(counted, console)
    write_text(json.dumps(counted, indent=2) + "\n", compared.folder / VOTES)
    return [compared.folder / VOTES, write_report(compared, choices, study, {**extra, "votes": counted})]
