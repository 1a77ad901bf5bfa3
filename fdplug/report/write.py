"""Write the report of a comparison and its voting page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdplug.predict.writer import write_text
from fdplug.report import page
from fdplug.report.context import context
from fdplug.report.costs import Rates
from fdplug.report.folder import Compared, read
from fdplug.report.gallery import gallery
from fdplug.report.study import KEY, Study, choose, page_data

REPORT, VOTE = "report.html", "vote.html"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a report shows.

    Args:
        pictures: embedded per variant, at most.
        side: pixels to which larger pictures are reduced.
        pairs: questions of the voting page, at most; 0 writes none.
        seed: of their choice.
        rates: assumptions of the costs.
    """

    pictures: int = 16
    side: int = 256
    pairs: int = 36
    seed: int = 0
    rates: Rates = field(default_factory=Rates)


def write(folder: str | Path, choices: Choices | None = None, **extra: Any) -> list[Path]:
    """Write `report.html`, and `vote.html` with its key if there is anything to vote on; return the files.

    Args:
        folder: what `fdplug compare` wrote.
        choices: what is shown.
        extra: see `context.context`.

    Raises:
        DataError: the folder holds no whole comparison.
    """
    compared, choices = read(folder), choices or Choices()
    study = choose(compared, choices.pairs, choices.seed)
    written = [write_report(compared, choices, study, extra)]
    return [*written, *write_vote(compared, choices, study)]


def write_report(compared: Compared, choices: Choices, study: Study, extra: Mapping[str, Any]) -> Path:
    """Write the report alone."""
    path = compared.folder / REPORT
    pictures = gallery(compared, choices.pictures, choices.side)
    asked = study if study.pairs else None
    write_text(page.report(context(compared, pictures, choices.rates, asked, **extra)), path)
    return path


def write_vote(compared: Compared, choices: Choices, study: Study) -> list[Path]:
    """Write the voting page and its key."""
    if not study.pairs:
        return []
    paths = [compared.folder / VOTE, compared.folder / KEY]
    write_text(page.vote(page_data(study, compared, 2 * choices.side)), paths[0])
    study.write(paths[1])
    return paths
