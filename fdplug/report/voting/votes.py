"""Votes that people exported from the voting page: read, checked against its key, never trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.json_text import read_json
from fdplug.files.schema import check
from fdplug.files.source import Source
from fdplug.report.forms import EXPORT, VOTES_FORMAT
from fdplug.report.voting.pairs import Pair, Study


@dataclass(frozen=True)
class Vote:
    """One answer: the pair, who answered, and whether the variant was preferred; None where both are the same."""

    pair: Pair
    voter: str
    preferred: bool | None


def read_votes(paths: Iterable[str | Path], study: Study) -> list[Vote]:
    """Read every file.

    Raises:
        DataError: a file is no export of this study's page, names an unknown picture, or repeats a voter or a pair.
    """
    pairs = {pair.id: pair for pair in study.pairs}
    votes: list[Vote] = []
    voters: dict[str, Path] = {}
    for path in map(Path, paths):
        content = _load(path, study)
        voter = content["voter"]
        if voter in voters:
            raise DataError(f"{voters[voter]} and {path} are both of voter {voter}; give each voter's last export only")
        voters[voter] = path
        votes += _answers(path, content, voter, pairs)
    return votes


def _load(path: Path, study: Study) -> Mapping[str, Any]:
    source = Source(path, "votes", f"give what a voting page exported (format {VOTES_FORMAT}), with its own folder")
    content = check(source, EXPORT, read_json(source))
    if content["study"] != study.digest:
        raise source.refused(
            f"it answers another page (study {shown(content['study'], 30)}), not this one ({study.digest})"
        )
    return content


def _answers(path: Path, content: Mapping[str, Any], voter: str, pairs: Mapping[str, Pair]) -> Iterator[Vote]:
    seen: set[str] = set()
    for number, given in enumerate(content["votes"]):
        place = f"{path}: vote {number + 1}"
        pair = pairs.get(given["pair"])
        if pair is None:
            raise DataError(f"{place} is about the pair {shown(given['pair'])}, which is not in the key; export again")
        if sorted(pair.pictures) != sorted((given["left"], given["right"])):
            raise DataError(f"{place} names pictures that are not those of pair {pair.id}; export again")
        if pair.id in seen:
            raise DataError(f"{place} answers pair {pair.id} a second time; export again")
        seen.add(pair.id)
        yield Vote(pair, voter, _preferred(pair, given))


def _preferred(pair: Pair, answer: Mapping[str, Any]) -> bool | None:
    return None if answer["choice"] == "same" else answer[answer["choice"]] == pair.pictures[0]
