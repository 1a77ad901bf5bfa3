"""Votes that people exported from the voting page: read, checked against its key, never trusted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdplug.errors import DataError
from fdplug.report.vote_pairs import Pair, Study

FORMAT = "fdplug-votes-1"
CHOICES = ("left", "same", "right")


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
        voter = str(content.get("voter"))
        if voter in voters:
            raise DataError(
                f"{voters[voter]} and {path} are both of voter {voter}; give each voter's last export only."
            )
        voters[voter] = path
        votes += _answers(path, content, voter, pairs)
    return votes


def _load(path: Path, study: Study) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read the votes {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid json: {error}; export the votes again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("votes"), list):
        raise DataError(f"{path} is no export of a voting page (format {FORMAT}).")
    if content.get("study") != study.digest:
        message = f"{path} answers another page (study {content.get('study')!s:.30}), not this one ({study.digest})."
        raise DataError(f"{message} Count it with the folder that its page came from.")
    return content


def _answers(path: Path, content: Mapping[str, Any], voter: str, pairs: Mapping[str, Pair]) -> Iterator[Vote]:
    seen: set[str] = set()
    for number, answer in enumerate(content["votes"]):
        place = f"{path}: vote {number + 1}"
        given = answer if isinstance(answer, dict) else {}
        pair = pairs.get(str(given.get("pair")))
        if pair is None or given.get("choice") not in CHOICES:
            raise DataError(f"{place} is {answer!r:.80}: a known pair and one of {', '.join(CHOICES)} are needed.")
        if sorted(pair.pictures) != sorted((str(given.get("left")), str(given.get("right")))):
            raise DataError(f"{place} names pictures that are not those of pair {pair.id}.")
        if pair.id in seen:
            raise DataError(f"{place} answers pair {pair.id} a second time.")
        seen.add(pair.id)
        yield Vote(pair, voter, _preferred(pair, given))


def _preferred(pair: Pair, answer: Mapping[str, Any]) -> bool | None:
    return None if answer["choice"] == "same" else answer[answer["choice"]] == pair.pictures[0]
