"""Drawing: a scene to pixels, anti-aliased from signed distances, the same on every platform.

Only additions, products, minima and square roots of float64 are used, so results differ by at most rounding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fdplug.shapes.scene import FRAME, Scene, Thing

SIZE = 32
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
    "striped": (188, 178, 160),
    "speckled": (175, 190, 172),
}
TEXTURE_SHADE = {"striped": -60, "speckled": -85}
STRIPE_PERIOD = 12.0
SPECKLES = 16
SPECKLE_RADIUS = 2.0

Array = npt.NDArray[np.float64]


def draw(scene: Scene, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Draw `scene` as an RGB image of shape (size, size, 3).

    Example:
        >>> from fdplug.shapes.scene import Scene, Thing
        >>> draw(Scene("one", "gray", (Thing("large", "red", "circle", 32, 32, 14),)))[16, 16]
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
    x, y = _grid(size)
    for thing in scene.things:
        cover = _coverage(distance(thing, x, y), pixel)
        ink = np.array(INKS[thing.colour], dtype=np.float64) + thing.tint
        canvas += cover[..., None] * (ink - canvas)
        mask = np.maximum(mask, cover)
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
def _grid(size: int) -> tuple[Array, Array]:
    """Centres of the pixels in frame units."""
    centres = (np.arange(size, dtype=np.float64) + 0.5) * (FRAME / size)
    return np.tile(centres, (size, 1)), np.tile(centres[:, None], (1, size))


def _paper(scene: Scene, size: int) -> Array:
    colour = np.array(PAPERS[scene.background], dtype=np.float64) + scene.tint
    canvas = np.broadcast_to(colour, (size, size, 3)).copy()
    if scene.background in TEXTURE_SHADE:
        texture = _stripes if scene.background == "striped" else _speckles
        canvas += TEXTURE_SHADE[scene.background] * texture(scene.texture, size)[..., None]
    return canvas


def _stripes(seed: int, size: int) -> Array:
    """Coverage of vertical stripes, half dark and half light, with a random phase."""
    x, _ = _grid(size)
    phase = np.random.default_rng(seed).random()
    turns = x / STRIPE_PERIOD + phase
    return _coverage((abs(turns - np.floor(turns) - 0.5) - 0.25) * STRIPE_PERIOD, FRAME / size)


def _speckles(seed: int, size: int) -> Array:
    """Coverage of dark dots at random places."""
    x, y = _grid(size)
    places = np.random.default_rng(seed).random((SPECKLES, 2)) * FRAME
    dx, dy = x[..., None] - places[:, 0], y[..., None] - places[:, 1]
    return _coverage(np.sqrt((dx * dx + dy * dy).min(axis=-1)) - SPECKLE_RADIUS, FRAME / size)


def _coverage(signed_distance: Array, pixel: float) -> Array:
    return np.clip(0.5 - signed_distance / pixel, 0.0, 1.0)
