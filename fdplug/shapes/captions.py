"""Captions of `shapes` scenes: the grammar, written and read.

The grammar is ``a SIZE COLOUR SHAPE [RELATION a SIZE COLOUR SHAPE] on a BACKGROUND background`` where RELATION is
``left of``, ``right of``, ``above`` or ``below``. `Demand` is what a caption asks for, without the drawn details.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace

SIZES = ("small", "large")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "black")
SHAPES = ("circle", "square", "triangle", "cross")
BACKGROUNDS = ("gray", "brown", "teal", "striped", "speckled")
LAYOUTS = ("one", "left", "right", "above", "below")
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
MIRRORED = {"right": "left", "below": "above"}
HELD_OUT_MODULUS = 50

_LOOK = rf"a ({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
_GRAMMAR = re.compile(
    rf"{_LOOK}(?: ({'|'.join(RELATIONS.values())}) {_LOOK})? on a ({'|'.join(BACKGROUNDS)}) background"
)


@dataclass(frozen=True)
class Look:
    """What a caption says about one object: ``small red circle``."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Demand:
    """What a caption demands: the layout, the background and one or two looks in the order of mention."""

    layout: str
    background: str
    looks: tuple[Look, ...]

    @property
    def caption(self) -> str:
        """The one caption that states this demand."""
        objects = f" {RELATIONS.get(self.layout, '')} ".join(f"a {look}" for look in self.looks)
        return f"{objects} on a {self.background} background"

    def canonical(self) -> Demand:
        """The same picture told from left to right or from top to bottom (``left``, ``above`` or ``one``)."""
        if self.layout not in MIRRORED:
            return self
        return replace(self, layout=MIRRORED[self.layout], looks=self.looks[::-1])


def words() -> tuple[str, ...]:
    """Every word of the grammar, in a fixed order."""
    small_words = ("a", "on", "of", "background", "left", "right", "above", "below")
    return (*small_words, *SIZES, *COLOURS, *SHAPES, *BACKGROUNDS)


def parse_caption(caption: str) -> Demand:
    """Read what `caption` demands.

    Args:
        caption: a sentence of the grammar; case, doubled spaces and a final full stop do not matter.

    Raises:
        ValueError: if `caption` is outside the grammar.
    """
    match = _GRAMMAR.fullmatch(" ".join(caption.lower().rstrip(" .").split()))
    if match is None:
        raise ValueError(_outside(caption))
    first, relation, second, background = match.group(1, 2, 3), match[4], match.group(5, 6, 7), match[8]
    looks = (Look(*first),) if relation is None else (Look(*first), Look(*second))
    return Demand("one" if relation is None else relation.split()[0], background, looks)


def held_out(caption: str) -> bool:
    """Whether `caption` is kept out of training: one picture in fifty, however it is phrased.

    The rule is ``crc32(canonical caption) % 50 == 0``, so "A right of B" is held out exactly when "B left of A" is.
    """
    return zlib.crc32(parse_caption(caption).canonical().caption.encode()) % HELD_OUT_MODULUS == 0


def _outside(caption: str) -> str:
    example = "a small red circle above a large blue square on a gray background"
    vocabulary = f"sizes {SIZES}, colours {COLOURS}, shapes {SHAPES}, backgrounds {BACKGROUNDS}"
    relations = ", ".join(RELATIONS.values())
    return f"{caption!r} is not a `shapes` caption; write it like {example!r} with {vocabulary}, relations: {relations}"
