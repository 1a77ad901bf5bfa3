"""Write the report of a comparison and its voting page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fdplug.errors import ConfigError
from fdplug.files.json_text import read_json
from fdplug.files.schema import check
from fdplug.files.source import Source
from fdplug.files.writing import writable_file, write_text
from fdplug.report import page
from fdplug.report.choices import PAIRS, Choices
from fdplug.report.context import context
from fdplug.report.folder import Compared, read
from fdplug.report.forms import COUNTED
from fdplug.report.gallery import gallery
from fdplug.report.voting.pairs import KEY, Study, choose, kept, page_data

REPORT, VOTE, VOTES = "report.html", "vote.html", "votes.json"


def write(folder: str | Path, choices: Choices | None = None, **extra: Any) -> list[Path]:
    """Write `report.html`, and `vote.html` with its key if there is anything to vote on; return the files.

    Args:
        folder: what `fdplug compare` wrote.
        choices: what is shown.
        extra: see `context.context`.

    Raises:
        DataError: the folder holds no whole comparison, or broken votes.
        ConfigError: other pairs were chosen before, and votes on them may be on their way.
    """
    compared, choices = read(folder), choices or Choices()
    for name in (REPORT, VOTE, KEY):
        writable_file(compared.folder / name)
    study = chosen(compared, choices)
    extra = {"votes": earlier_votes(compared, study), **extra}
    written = [write_report(compared, choices, study, extra)]
    return [*written, *write_vote(compared, choices, study)]


def chosen(compared: Compared, choices: Choices) -> Study:
    """The pairs to vote on: those of the key that is there, or new ones."""
    before = kept(compared)
    if before is not None and choices.pairs is None and choices.seed is None:
        return before
    study = choose(compared, PAIRS if choices.pairs is None else choices.pairs, choices.seed or 0)
    if before is not None and before != study:
        message = f"{compared.folder / KEY} holds other pairs, and votes on them would be lost"
        raise ConfigError(f"{message}; leave out --pairs and --seed, or delete that file to choose anew")
    return study


def earlier_votes(compared: Compared, study: Study) -> dict[str, Any] | None:
    """The table that `fdplug report --votes` wrote, if it is about these pairs."""
    path = compared.folder / VOTES
    if not path.is_file():
        return None
    source = Source(path, "count of votes", "count the votes again with --votes, or delete it")
    found = check(source, COUNTED, read_json(source))
    if [len(row) for row in found["body"]] != [len(row) for row in found["values"]]:
        raise source.refused("its 'body' and 'values' have not the same rows")
    return found if found["study"] == study.digest else None


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
