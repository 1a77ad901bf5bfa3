"""Which captions of a file are taken, and a hash by which two runs can tell that they took the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug import checks
from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.json_text import parse_json
from fdplug.files.limits import is_whole
from fdplug.files.source import Source
from fdplug.predict.data.inputs import content_of
from fdplug.predict.data.seeds import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fdplug.predict.data.captions import Caption


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A subset of captions.

    Args:
        limit: at most so many.
        ids: a file with the ids to take: one per line (`#` begins a comment), or a json list.
        seed: take `limit` captions at random instead of the first; a larger `limit` only adds to a smaller one.
    """

    limit: int | None = None
    ids: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            checks.whole("limit", self.limit, 0)
        if self.seed is not None:
            checks.whole("subset_seed", self.seed, 0)

    def of(self, captions: Sequence[Caption]) -> list[Caption]:
        """The chosen ones, in the order they came in.

        Raises:
            DataError: the file of ids cannot be read, or names a caption that is not there.
        """
        chosen = list(captions)
        if self.ids is not None:
            wanted = read_ids(self.ids)
            known = {caption.image_id for caption in chosen}
            for identifier, place in wanted.items():
                if identifier not in known:
                    raise DataError(f"{self.ids}: {place}: no caption has the id {identifier}; remove it")
            chosen = [caption for caption in chosen if caption.image_id in wanted]
        if self.seed is None or self.limit is None:
            return chosen[: self.limit]
        seed = self.seed
        taken = sorted(range(len(chosen)), key=lambda index: seed_of(seed, chosen[index].image_id))[: self.limit]
        return [chosen[index] for index in sorted(taken)]


def selection_hash(captions: Sequence[Caption]) -> str:
    """First 16 hexadecimal digits of SHA-256 over ids, texts, labels, own seeds and pictures, in their order."""
    digest = hashlib.sha256()
    for caption in captions:
        own: list[Any] = [] if caption.seed is None else [caption.seed]
        own += [[name, hashlib.sha256(content_of(caption, name)).hexdigest()] for name, _ in caption.inputs]
        digest.update(json.dumps([caption.image_id, caption.text, caption.label, *own]).encode())
    return digest.hexdigest()[:16]


def read_ids(path: str | Path) -> dict[int, str]:
    """Id -> its place in a file of ids.

    Raises:
        DataError: the file cannot be read, or holds something else than ids, or one of them twice.
    """
    source = Source(Path(path), "file of ids", "give whole numbers, one a line or as a json list")
    text = source.text()
    ids: dict[int, str] = {}
    for place, value in _listed(source, text) if text.lstrip().startswith("[") else _lines(text):
        if not is_whole(value):
            raise source.refused(f"{place}: {shown(value)} is no id")
        if int(value) in ids:
            raise source.refused(f"{place}: the id {int(value)} appears twice, first in {ids[int(value)]}")
        ids[int(value)] = place
    if not ids:
        raise source.refused("it holds no ids")
    return ids


def _lines(text: str) -> list[tuple[str, Any]]:
    stripped = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(f"line {number}", line) for number, line in stripped if line]


def _listed(source: Source, text: str) -> list[tuple[str, Any]]:
    try:
        return [(f"entry {index}", value) for index, value in enumerate(parse_json(text))]
    except ValueError as error:
        raise source.refused(f"it is not valid json: {error}") from error
