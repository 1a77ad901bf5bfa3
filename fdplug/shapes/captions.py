"""Captions of `shapes` scenes: the grammar, written and read.

The grammar is ``OBJECT [RELATION OBJECT [RELATION OBJECT]] on a BACKGROUND background`` where OBJECT is
``a SIZE FILL COLOUR SHAPE`` and RELATION is ``left of``, ``right of``, ``above`` or ``below``, twice the same in a
chain of three. `Demand` is what a caption asks for, without the drawn details.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

SIZES = ("small", "large")
FILLS = ("plain", "striped", "dotted", "checked")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "black")
SHAPES = ("circle", "square", "triangle", "cross", "diamond")
BACKGROUNDS = ("gray", "brown", "teal", "ribbed", "woven", "speckled")
LAYOUTS = ("one", "left", "right", "above", "below")
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
MIRRORED = {"right": "left", "below": "above"}
MOST_OBJECTS = 3

HELD_OUT_COLOURS = frozenset(
    {
        ("red", "triangle"),
        ("green", "circle"),
        ("blue", "cross"),
        ("yellow", "square"),
        ("purple", "diamond"),
        ("black", "circle"),
    }
)
"""Pairs of colour and shape that no training picture shows."""
HELD_OUT_FILLS = frozenset({("striped", "square"), ("dotted", "cross"), ("checked", "triangle")})
"""Pairs of fill and shape that no training picture shows."""

_LOOK = rf"a ({'|'.join(SIZES)}) ({'|'.join(FILLS)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
_RELATION = rf"(?: ({'|'.join(RELATIONS.values())}) {_LOOK})?"
_GRAMMAR = re.compile(rf"{_LOOK}{_RELATION}{_RELATION} on a ({'|'.join(BACKGROUNDS)}) background")


@dataclass(frozen=True)
class Look:
    """What a caption says about one object: ``small striped red circle``."""

    size: str
    fill: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.size} {self.fill} {self.colour} {self.shape}"

    @property
    def held_out(self) -> bool:
        """Whether training never shows this colour, or this fill, on this shape."""
        return (self.colour, self.shape) in HELD_OUT_COLOURS or (self.fill, self.shape) in HELD_OUT_FILLS


@dataclass(frozen=True)
class Demand:
    """What a caption demands: the layout, the background and one to three looks in the order of mention."""

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
    return (*small_words, *SIZES, *FILLS, *COLOURS, *SHAPES, *BACKGROUNDS)


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
    *parts, background = match.groups()
    looks = tuple(Look(*parts[start : start + 4]) for start in (0, 5, 10) if parts[start])
    relations = set(filter(None, (parts[4], parts[9])))
    if len(relations) > 1:
        raise ValueError(_outside(caption))
    return Demand(relations.pop().split()[0] if relations else "one", background, looks)


def held_out(caption: str) -> bool:
    """Whether `caption` names a pair of colour and shape, or of fill and shape, that training never shows.

    However a picture is phrased, the answer is the same.
    """
    return any(look.held_out for look in parse_caption(caption).looks)


def _outside(caption: str) -> str:
    example = "a small plain red circle above a large striped blue square on a gray background"
    vocabulary = f"sizes {SIZES}, fills {FILLS}, colours {COLOURS}, shapes {SHAPES}, backgrounds {BACKGROUNDS}"
    relations = f"{', '.join(RELATIONS.values())} (the same one twice among three objects)"
    return f"{caption!r} is not a `shapes` caption; write it like {example!r} with {vocabulary}, relations: {relations}"
