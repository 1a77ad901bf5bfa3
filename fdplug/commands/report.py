"""`fdplug report`: one page about a comparison, and the votes on its pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from fdplug import checks
from fdplug.commands.options.report import parser
from fdplug.errors import ConfigError
from fdplug.files.writing import write_text
from fdplug.predict.comparison.table import print_texts
from fdplug.report.choices import Choices
from fdplug.report.figures import figures
from fdplug.report.folder import read
from fdplug.report.running_costs import Rates
from fdplug.report.voting.pairs import read_key
from fdplug.report.voting.tally import table, tally
from fdplug.report.voting.votes import read_votes
from fdplug.report.write import VOTES, write, write_report


def main(argv: list[str]) -> int:
    """Run `fdplug report` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug report` with these options."""
    report(options, Console())
    return 0


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
    given = {"limit": options.pictures, "size": options.side, "pairs": options.pairs, "seed": options.seed}
    for name, least in (("limit", 1), ("size", 16), ("pairs", 0), ("seed", 0)):
        if given[name] is not None:
            checks.whole(name, given[name], least)
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
