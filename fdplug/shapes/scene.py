"""Scenes: what a `shapes` picture shows, down to the last jitter, and how to make one at random.

Lengths are in units of a frame 64 wide, whatever the size in pixels; x grows to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fdplug.shapes.captions import (
    BACKGROUNDS,
    COLOURS,
    FILLS,
    LAYOUTS,
    MOST_OBJECTS,
    SHAPES,
    SIZES,
    Demand,
    Look,
    held_out,
    parse_caption,
)

__all__ = [
    "Demand",
    "Look",
    "Scene",
    "Thing",
    "held_out",
    "parse_caption",
    "random_scene",
    "scene_of",
    "training_scene",
]

FRAME = 64.0
RADII = {"small": 7.5, "large": 10.3}
COUNT_SHARES = (0.2, 0.4, 0.4)
"""Shares of pictures with one, two and three objects."""
TINT = 12
_PLACES = {1: (32.0,), 2: (17.0, 47.0), 3: (10.8, 32.0, 53.2)}
_ALONG = {1: 14.0, 2: 3.0, 3: 0.3}
_ACROSS = {1: 14.0, 2: 9.0, 3: 9.0}


@dataclass(frozen=True)
class Thing:
    """One drawn object: its look, its centre and radius in frame units, and what is added to its RGB colour."""

    size: str
    fill: str
    colour: str
    shape: str
    x: float
    y: float
    radius: float
    tint: tuple[int, int, int] = (0, 0, 0)

    @property
    def look(self) -> Look:
        """The part of this object that a caption mentions."""
        return Look(self.size, self.fill, self.colour, self.shape)


@dataclass(frozen=True)
class Scene:
    """One picture: layout, background and one to three things in the order of mention.

    `tint` is added to the background's RGB colour; `texture` seeds the phase of a pattern and the place of speckles.
    """

    layout: str
    background: str
    things: tuple[Thing, ...]
    tint: tuple[int, int, int] = (0, 0, 0)
    texture: int = 0

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, LAYOUTS)
        _one_of("background", self.background, BACKGROUNDS)
        wanted = (1,) if self.layout == "one" else tuple(range(2, MOST_OBJECTS + 1))
        if len(self.things) not in wanted:
            counts = " or ".join(map(str, wanted))
            raise ValueError(f"layout {self.layout!r} takes {counts} thing(s), not {len(self.things)}")
        for thing in self.things:
            _one_of("size", thing.size, SIZES)
            _one_of("fill", thing.fill, FILLS)
            _one_of("colour", thing.colour, COLOURS)
            _one_of("shape", thing.shape, SHAPES)

    @property
    def demand(self) -> Demand:
        """What the caption of this scene demands."""
        return Demand(self.layout, self.background, tuple(thing.look for thing in self.things))

    @property
    def caption(self) -> str:
        """The caption of this scene, such as ``a small plain red circle on a gray background``."""
        return self.demand.caption

    def to_dict(self) -> dict[str, Any]:
        """This scene as JSON-ready values; `from_dict` is the inverse."""
        record = asdict(self)
        record["tint"] = list(self.tint)
        record["things"] = [{**asdict(thing), "tint": list(thing.tint)} for thing in self.things]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Scene:
        """Read a scene written by `to_dict`.

        Raises:
            ValueError: if a key is missing or a value is outside the vocabulary.
        """
        try:
            things = tuple(_thing(thing) for thing in record["things"])
            return cls(record["layout"], record["background"], things, _tint(record), int(record["texture"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a scene: {error!r}; expected what Scene.to_dict() writes") from error


@dataclass(frozen=True)
class World:
    """The scenes that a model is about.

    Attributes:
        count_shares: shares of pictures with one, two and three objects.
        sizes: sizes of objects.
        fills: fills of objects.
        shapes: shapes of objects.
        backgrounds: backgrounds.
    """

    count_shares: tuple[float, float, float] = COUNT_SHARES
    sizes: tuple[str, ...] = SIZES
    fills: tuple[str, ...] = FILLS
    shapes: tuple[str, ...] = SHAPES
    backgrounds: tuple[str, ...] = BACKGROUNDS


WHOLE_WORLD = World()
"""Everything that the grammar can say: the world of `shapes`."""
FLOW_WORLD = World(
    count_shares=(0.5, 0.5, 0.0),
    sizes=("large",),
    fills=("plain", "striped"),
    shapes=("circle", "triangle", "cross"),
    backgrounds=("gray", "brown", "teal", "ribbed", "woven"),
)
"""The easier world of `shapes-flow`: one or two large objects, two fills, three shapes, no speckles."""
CLASS_WORLD = replace(FLOW_WORLD, count_shares=(1.0, 0.0, 0.0))
"""The same with one object."""


def random_scene(rng: np.random.Generator, world: World = WHOLE_WORLD) -> Scene:
    """Draw a scene of `world` with any look and any of four relations."""
    return _scene_of(rng, world, lambda look: True)


def training_scene(rng: np.random.Generator, world: World = WHOLE_WORLD) -> Scene:
    """Draw a scene in which no look is held out: the only source of training pictures."""
    return _scene_of(rng, world, lambda look: not look.held_out)


def scene_of(demand: Demand, rng: np.random.Generator) -> Scene:
    """Draw a scene that shows what a caption demands; the rest is left to chance.

    Example:
        >>> caption = "a small plain red circle on a gray background"
        >>> scene_of(parse_caption(caption), np.random.default_rng(0)).caption == caption
        True
    """
    count, layout = len(demand.looks), demand.layout
    pairs = zip(demand.looks, _centres(layout, count), strict=True)
    things = tuple(_placed(rng, look, centre, layout, count) for look, centre in pairs)
    return Scene(layout, demand.background, things, _random_tint(rng), int(rng.integers(2**31)))


def _scene_of(rng: np.random.Generator, world: World, allowed: Callable[[Look], bool]) -> Scene:
    count = 1 + int(rng.choice(MOST_OBJECTS, p=world.count_shares))
    layout = "one" if count == 1 else _choice(rng, LAYOUTS[1:])
    background = _choice(rng, world.backgrounds)
    things = tuple(_random_thing(rng, centre, layout, world, count, allowed) for centre in _centres(layout, count))
    return Scene(layout, background, things, _random_tint(rng), int(rng.integers(2**31)))


def _centres(layout: str, count: int) -> list[tuple[float, float]]:
    """Where the objects stand before jitter, in the order of mention."""
    line = _PLACES[count] if layout in ("one", "left", "above") else _PLACES[count][::-1]
    return [(32.0, place) if layout in ("above", "below") else (place, 32.0) for place in line]


def _random_thing(
    rng: np.random.Generator,
    centre: tuple[float, float],
    layout: str,
    world: World,
    count: int,
    allowed: Callable[[Look], bool],
) -> Thing:
    look = _random_look(rng, world)
    while not allowed(look):
        look = _random_look(rng, world)
    return _placed(rng, look, centre, layout, count)


def _placed(rng: np.random.Generator, look: Look, centre: tuple[float, float], layout: str, count: int) -> Thing:
    jitter = (_ALONG[count], _ACROSS[count])
    reach = jitter[::-1] if layout in ("above", "below") else jitter
    x, y = (round(float(middle + rng.uniform(-1, 1) * far), 3) for middle, far in zip(centre, reach, strict=True))
    radius = round(float(RADII[look.size] + rng.uniform(-0.3, 0.3)), 3)
    return Thing(look.size, look.fill, look.colour, look.shape, x, y, radius, _random_tint(rng))


def _random_look(rng: np.random.Generator, world: World) -> Look:
    return Look(_choice(rng, world.sizes), _choice(rng, world.fills), _choice(rng, COLOURS), _choice(rng, world.shapes))


def _random_tint(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(-TINT, TINT + 1, size=3))
    return red, green, blue


def _choice(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _thing(record: Mapping[str, Any]) -> Thing:
    place = (float(record["x"]), float(record["y"]), float(record["radius"]))
    return Thing(record["size"], record["fill"], record["colour"], record["shape"], *place, _tint(record))


def _tint(record: Mapping[str, Any]) -> tuple[int, int, int]:
    red, green, blue = record["tint"]
    return int(red), int(green), int(blue)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(allowed)}")
