"""Scenes: what a `shapes` picture shows, down to the last jitter, and how to make one at random.

Lengths are in units of a frame 64 wide, whatever the size in pixels; x grows to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fdplug.shapes.captions import (
    BACKGROUNDS,
    COLOURS,
    LAYOUTS,
    SHAPES,
    SIZES,
    Demand,
    Look,
    held_out,
    parse_caption,
)

__all__ = ["Demand", "Look", "Scene", "Thing", "held_out", "parse_caption", "random_scene", "training_scene"]

FRAME = 64.0
RADII = {"small": 9.0, "large": 14.0}
ONE_OBJECT_SHARE = 0.2
TINT = 12
_CENTRES = {
    "one": ((32.0, 32.0),),
    "left": ((16.5, 32.0), (47.5, 32.0)),
    "right": ((47.5, 32.0), (16.5, 32.0)),
    "above": ((32.0, 16.5), (32.0, 47.5)),
    "below": ((32.0, 47.5), (32.0, 16.5)),
}
_JITTER = {"one": (8.0, 8.0), "left": (1.5, 7.0), "right": (1.5, 7.0), "above": (7.0, 1.5), "below": (7.0, 1.5)}


@dataclass(frozen=True)
class Thing:
    """One drawn object: its look, its centre and radius in frame units, and what is added to its RGB colour."""

    size: str
    colour: str
    shape: str
    x: float
    y: float
    radius: float
    tint: tuple[int, int, int] = (0, 0, 0)

    @property
    def look(self) -> Look:
        """The part of this object that a caption mentions."""
        return Look(self.size, self.colour, self.shape)


@dataclass(frozen=True)
class Scene:
    """One picture: layout, background and one or two things in the order of mention.

    `tint` is added to the background's RGB colour; `texture` seeds the phase of stripes and the place of speckles.
    """

    layout: str
    background: str
    things: tuple[Thing, ...]
    tint: tuple[int, int, int] = (0, 0, 0)
    texture: int = 0

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, LAYOUTS)
        _one_of("background", self.background, BACKGROUNDS)
        wanted = len(_CENTRES[self.layout])
        if len(self.things) != wanted:
            raise ValueError(f"layout {self.layout!r} takes {wanted} thing(s), not {len(self.things)}")
        for thing in self.things:
            _one_of("size", thing.size, SIZES)
            _one_of("colour", thing.colour, COLOURS)
            _one_of("shape", thing.shape, SHAPES)

    @property
    def demand(self) -> Demand:
        """What the caption of this scene demands."""
        return Demand(self.layout, self.background, tuple(thing.look for thing in self.things))

    @property
    def caption(self) -> str:
        """The caption of this scene, such as ``a small red circle on a gray background``."""
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


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene: one time in five a single object, otherwise two objects in one of four relations."""
    layout = "one" if rng.random() < ONE_OBJECT_SHARE else _choice(rng, LAYOUTS[1:])
    background = _choice(rng, BACKGROUNDS)
    things = tuple(_random_thing(rng, centre, _JITTER[layout]) for centre in _CENTRES[layout])
    return Scene(layout, background, things, _random_tint(rng), int(rng.integers(2**31)))


def training_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene whose caption is not held out: the only source of training pictures."""
    while True:
        scene = random_scene(rng)
        if not held_out(scene.caption):
            return scene


def _random_thing(rng: np.random.Generator, centre: tuple[float, float], jitter: tuple[float, float]) -> Thing:
    size, colour, shape = _choice(rng, SIZES), _choice(rng, COLOURS), _choice(rng, SHAPES)
    x, y = (round(float(middle + rng.uniform(-1, 1) * reach), 3) for middle, reach in zip(centre, jitter, strict=True))
    radius = round(float(RADII[size] + rng.uniform(-0.5, 0.5)), 3)
    return Thing(size, colour, shape, x, y, radius, _random_tint(rng))


def _random_tint(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(-TINT, TINT + 1, size=3))
    return red, green, blue


def _choice(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _thing(record: Mapping[str, Any]) -> Thing:
    place = (float(record["x"]), float(record["y"]), float(record["radius"]))
    return Thing(record["size"], record["colour"], record["shape"], *place, _tint(record))


def _tint(record: Mapping[str, Any]) -> tuple[int, int, int]:
    red, green, blue = record["tint"]
    return int(red), int(green), int(blue)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(allowed)}")
