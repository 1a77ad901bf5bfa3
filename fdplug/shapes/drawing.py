"""Drawing: a scene to pixels, anti-aliased from signed distances, the same on every platform.

Only additions, products, minima and square roots of float64 are used, so results differ by at most rounding.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fdplug.shapes.scene import FRAME, Scene, Thing

SIZE = 64
INKS = {
    "red": (214, 40, 40),
    "green": (50, 180, 50),
    "blue": (45, 80, 215),
    "yellow": (240, 220, 50),
    "orange": (240, 135, 25),
    "purple": (145, 60, 175),
    "white": (243, 243, 243),
    "black": (15, 15, 15),
}
PAPERS = {
    "gray": (150, 150, 150),
    "brown": (115, 80, 50),
    "teal": (20, 110, 120),
    "ribbed": (188, 178, 160),
    "woven": (165, 172, 195),
    "speckled": (175, 190, 172),
}
TEXTURE_SHADE = {"ribbed": -60, "woven": -55, "speckled": -85}
RIB_PERIOD = 5.0
WEAVE_PERIOD = 6.0
SPECKLES = 60
SPECKLE_RADIUS = 1.3
FILL_PERIOD = {"striped": 5.0, "dotted": 5.0, "checked": 6.0}
DOT_RADIUS = 1.6
SECOND_INK = 0.6
"""How far the second tone of a fill lies from the colour towards white (dark colours) or black (light ones)."""

Array = npt.NDArray[np.float64]


def draw(scene: Scene, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Draw `scene` as an RGB image of shape (size, size, 3).

    Example:
        >>> from fdplug.shapes.scene import Scene, Thing
        >>> draw(Scene("one", "gray", (Thing("large", "plain", "red", "circle", 32, 32, 10),)))[32, 32]
        array([214,  40,  40], dtype=uint8)
    """
    return draw_with_mask(scene, size)[0]


def draw_with_mask(scene: Scene, size: int = SIZE) -> tuple[npt.NDArray[np.uint8], Array]:
    """Draw `scene` and say where its objects are.

    Returns:
        The image (size, size, 3) and the objects' coverage (size, size) in [0, 1].
    """
    pixel = FRAME / size
    canvas = _paper(scene, size)
    mask = np.zeros((size, size))
    x, y = grid(size)
    for thing in scene.things:
        near = _window(thing, size)
        cover = coverage(distance(thing, x[near], y[near]), pixel)
        canvas[near] += cover[..., None] * (_ink(thing, x[near], y[near], pixel) - canvas[near])
        mask[near] = np.maximum(mask[near], cover)
    return np.floor(np.clip(canvas, 0, 255) + 0.5).astype(np.uint8), mask


def distance(thing: Thing, x: Array, y: Array) -> Array:
    """Signed distance from the points (x, y) to the outline of `thing`, negative inside, in frame units."""
    dx, dy, radius = x - thing.x, y - thing.y, thing.radius
    if thing.shape == "circle":
        return np.sqrt(dx * dx + dy * dy) - radius
    if thing.shape == "square":
        return np.maximum(abs(dx), abs(dy)) - 0.88 * radius
    if thing.shape == "triangle":
        return _triangle(dx, dy, radius)
    if thing.shape == "diamond":
        return (abs(dx) + abs(dy) - radius) * np.sqrt(0.5)
    bar = 0.34 * radius
    across, along = np.maximum(abs(dx) - radius, abs(dy) - bar), np.maximum(abs(dx) - bar, abs(dy) - radius)
    return np.minimum(across, along)


def _triangle(dx: Array, dy: Array, radius: float) -> Array:
    """Equilateral, pointing up, inradius 0.58 of the radius, moved down so that its box is centred."""
    inradius = 0.58 * radius
    dy = dy - 0.5 * inradius
    side = np.sqrt(0.75) * abs(dx) - 0.5 * dy
    return np.maximum(dy, side) - inradius


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Array, Array]:
    """Centres of the pixels in frame units."""
    centres = (np.arange(size, dtype=np.float64) + 0.5) * (FRAME / size)
    return np.tile(centres, (size, 1)), np.tile(centres[:, None], (1, size))


def second_tone(colour: tuple[float, float, float]) -> tuple[float, ...]:
    """The other tone of a patterned object: towards white for a dark colour, towards black for a light one."""
    target = 255.0 if sum(colour) < 384 else 0.0
    return tuple(value + SECOND_INK * (target - value) for value in colour)


def _ink(thing: Thing, x: Array, y: Array, pixel: float) -> Array:
    """The object's colour at each point: even, or its second tone where the fill's pattern, fixed to it, is dark."""
    first = np.array(INKS[thing.colour], dtype=np.float64) + thing.tint
    if thing.fill == "plain":
        return first
    second = np.array(second_tone(INKS[thing.colour]), dtype=np.float64) + thing.tint
    cover = coverage(pattern(thing.fill, x - thing.x, y - thing.y), pixel)
    return first + cover[..., None] * (second - first)


def pattern(fill: str, dx: Array, dy: Array) -> Array:
    """Signed distance, in frame units, to the second tone of a fill; (dx, dy) are seen from the object's centre."""
    period = FILL_PERIOD[fill]
    if fill == "striped":
        return _bands(dy, period)
    if fill == "checked":
        return _checks(dx, dy, period)
    across, down = _to_nearest(dx, period), _to_nearest(dy, period)
    return np.sqrt(across * across + down * down) - DOT_RADIUS


def _to_nearest(value: Array, period: float) -> Array:
    """Signed distance to the nearest multiple of `period`."""
    return value - period * np.floor(value / period + 0.5)


def _bands(value: Array, period: float) -> Array:
    """Signed distance to bands half a period wide, centred on the multiples of `period`."""
    return abs(_to_nearest(value, period)) - period / 4


def _checks(x: Array, y: Array, period: float) -> Array:
    """Signed distance to the squares in which both, or neither, coordinate is in its band."""
    across, down = _bands(x, period), _bands(y, period)
    return np.sign(across) * np.sign(down) * -np.minimum(abs(across), abs(down))


def _window(thing: Thing, size: int) -> tuple[slice, slice]:
    """The rows and columns of pixels that `thing` can touch."""
    pixel = FRAME / size
    reach = thing.radius + pixel
    first = [max(0, math.floor((middle - reach) / pixel)) for middle in (thing.y, thing.x)]
    last = [max(0, math.ceil((middle + reach) / pixel)) for middle in (thing.y, thing.x)]
    return slice(first[0], last[0]), slice(first[1], last[1])


def _paper(scene: Scene, size: int) -> Array:
    colour = np.array(PAPERS[scene.background], dtype=np.float64) + scene.tint
    canvas = np.broadcast_to(colour, (size, size, 3)).copy()
    if scene.background in TEXTURE_SHADE:
        shade = coverage(_texture(scene.background, scene.texture, size), FRAME / size)
        canvas += TEXTURE_SHADE[scene.background] * shade[..., None]
    return canvas


def _texture(background: str, seed: int, size: int) -> Array:
    """Signed distance to the dark parts of a background; `seed` gives its phase or the places of its speckles."""
    x, y = grid(size)
    rng = np.random.default_rng(seed)
    if background == "speckled":
        return _speckles(rng, x, y)
    across, down = rng.random(2)
    if background == "ribbed":
        return _bands(x + across * RIB_PERIOD, RIB_PERIOD)
    return _checks(x + across * WEAVE_PERIOD, y + down * WEAVE_PERIOD, WEAVE_PERIOD)


def _speckles(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Signed distance to the nearest of many small dots at random places."""
    places = rng.random((SPECKLES, 2)) * FRAME
    dx, dy = x[..., None] - places[:, 0], y[..., None] - places[:, 1]
    return np.sqrt((dx * dx + dy * dy).min(axis=-1)) - SPECKLE_RADIUS


def coverage(signed_distance: Array, pixel: float) -> Array:
    """Share of each pixel that lies inside, in [0, 1], for pixels `pixel` wide."""
    return np.clip(0.5 - signed_distance / pixel, 0.0, 1.0)
