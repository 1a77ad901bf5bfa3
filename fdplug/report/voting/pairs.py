"""The pairs of a blind vote: which pictures are asked about, under names that say nothing."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fdplug.files.json_text import read_json
from fdplug.files.schema import check
from fdplug.files.source import Source
from fdplug.files.writing import write_text
from fdplug.report.folder import Compared
from fdplug.report.forms import KEY_OF_VOTES
from fdplug.report.pictures import Album

KEY = "vote_key.json"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One question.

    Attributes:
        id: its name in the page.
        index: the caption, by its place in the comparison.
        variant: one of the two.
        against: the un-accelerated one.
        pictures: the pictures' names in the page: that of `variant`, that of `against`.
    """

    id: str
    index: int
    variant: str
    against: str
    pictures: tuple[str, str]


@dataclass(frozen=True)
class Study:
    """The pairs, and a hash that votes must carry."""

    pairs: tuple[Pair, ...]
    digest: str

    def write(self, path: Path) -> None:
        """Write the key: it alone says which picture is which."""
        content = {"study": self.digest, "pairs": [asdict(pair) for pair in self.pairs]}
        write_text(json.dumps(content, indent=1) + "\n", path)


def read_key(folder: Path) -> Study:
    """Read the key that was written beside the page.

    Raises:
        DataError: there is none, or it is broken.
    """
    remedy = f"run `fdplug report {folder}` first, then vote; a key cannot be made again for votes given"
    source = Source(folder / KEY, "key of votes", remedy)
    content = check(source, KEY_OF_VOTES, read_json(source))
    pairs = tuple(_read_pair(**pair) for pair in content["pairs"])
    if len({pair.id for pair in pairs}) < len(pairs):
        raise source.refused("two pairs have one id")
    return Study(pairs, content["study"])


def _read_pair(pictures: list[str], **rest: Any) -> Pair:
    return Pair(pictures=(pictures[0], pictures[1]), **rest)


def kept(compared: Compared) -> Study | None:
    """The study of the key in the folder, if there is one and its pictures are still those that were asked about."""
    if not (compared.folder / KEY).is_file():
        return None
    study = read_key(compared.folder)
    return study if study.digest == _digest(compared, study.pairs) else None


def choose(compared: Compared, count: int, seed: int) -> Study:
    """Choose up to `count` pairs: variants take turns, and every one goes through the captions in an order of its own.

    Pairs whose pictures are equal are not asked about. The same pictures, count and seed give the same study.
    """
    names = [row["name"] for row in compared.rows if row["compared_with"] is not None]
    draw = random.Random(json.dumps([names, compared.image_ids, count, seed]))
    turns = {name: _differing(compared, name, draw) for name in draw.sample(names, len(names))}
    asked: list[tuple[str, int]] = []
    while turns and len(asked) < count:
        for name in list(turns):
            index = next(turns[name], None)
            if index is None:
                del turns[name]
            elif len(asked) < count:
                asked.append((name, index))
    tokens = iter(draw.sample(range(10**6, 10**7), 3 * len(asked)))
    pairs = tuple(_pair(compared, name, index, tokens) for name, index in asked)
    return Study(pairs, _digest(compared, pairs))


def _digest(compared: Compared, pairs: tuple[Pair, ...]) -> str:
    """A hash of the pairs and of their pictures; empty where the comparison no longer has them."""
    found = hashlib.sha256(json.dumps([asdict(pair) for pair in pairs]).encode())
    for pair in pairs:
        paths = [compared.picture(name, pair.index) for name in (pair.variant, pair.against)]
        if not all(path.is_file() for path in paths):
            return ""
        for path in paths:
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:24]


def _differing(compared: Compared, name: str, draw: random.Random) -> Iterator[int]:
    """Captions, in random order, of which the variant drew another picture than the un-accelerated one."""
    row = compared.row(name)
    order = draw.sample(range(len(compared.captions)), len(compared.captions))
    return (
        index
        for index in order
        if compared.both(row, index)
        and compared.picture(name, index).read_bytes() != compared.picture(row["compared_with"], index).read_bytes()
    )


def _pair(compared: Compared, name: str, index: int, tokens: Iterator[int]) -> Pair:
    return Pair(
        id=f"q{next(tokens)}",
        index=index,
        variant=name,
        against=compared.row(name)["compared_with"],
        pictures=(f"i{next(tokens)}", f"i{next(tokens)}"),
    )


def page_data(study: Study, compared: Compared, side: int) -> dict[str, Any]:
    """What the voting page holds: no variant's name, and nothing whose order tells one picture from the other."""
    album = Album(side)
    for pair in study.pairs:
        for token, name in zip(pair.pictures, (pair.variant, pair.against), strict=True):
            album.add(token, compared.picture(name, pair.index))
    return {
        "study": study.digest,
        "pixelated": not album.reduced,
        "pairs": [
            {"id": pair.id, "caption": compared.captions[pair.index], "pictures": sorted(pair.pictures)}
            for pair in sorted(study.pairs, key=lambda pair: pair.id)
        ],
        "pictures": dict(sorted(album.uris.items())),
    }
