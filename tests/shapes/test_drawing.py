from __future__ import annotations

import math

import numpy as np
import pytest

from fdplug.shapes.captions import BACKGROUNDS, FILLS, SHAPES
from fdplug.shapes.drawing import INKS, PAPERS, SPECKLES, TEXTURE_SHADE, draw, draw_with_mask
from fdplug.shapes.scene import Scene, Thing


def _reference_distance(thing: Thing, x: float, y: float) -> float:
    """Signed distance by the definition of each shape, one point at a time."""
    dx, dy, r = x - thing.x, y - thing.y, thing.radius
    if thing.shape == "circle":
        return math.hypot(dx, dy) - r
    if thing.shape == "square":
        return max(abs(dx), abs(dy)) - 0.88 * r
    if thing.shape == "triangle":
        inradius, middle = 0.58 * r, 0.29 * r
        normals = [(0.0, 1.0), (math.cos(math.pi / 6), -0.5), (-math.cos(math.pi / 6), -0.5)]
        return max(nx * dx + ny * (dy - middle) for nx, ny in normals) - inradius
    if thing.shape == "diamond":
        side = math.cos(math.pi / 4)
        return max(abs(side * dx + side * dy), abs(side * dx - side * dy)) - r * side
    bars = [(r, 0.34 * r), (0.34 * r, r)]
    return min(max(abs(dx) - width, abs(dy) - height) for width, height in bars)


def _reference_band(value: float, period: float) -> float:
    """Signed distance to bands of half a period around the multiples of the period: the nearest of two edges."""
    within = value % period
    nearest = min(within, period - within)
    return nearest - period / 4


def _reference_checks(x: float, y: float, period: float) -> float:
    across, down = _reference_band(x, period), _reference_band(y, period)
    edge = min(abs(across), abs(down))
    return -edge if (across < 0) == (down < 0) else edge


def _reference_shade(scene: Scene, x: float, y: float) -> float:
    """Signed distance to the background's dark parts."""
    rng = np.random.default_rng(scene.texture)
    if scene.background == "speckled":
        places = rng.random((SPECKLES, 2)) * 64
        return min(math.hypot(x - px, y - py) for px, py in places) - 1.3
    across, down = rng.random(2)
    if scene.background == "ribbed":
        return _reference_band(x + across * 5.0, 5.0)
    return _reference_checks(x + across * 6.0, y + down * 6.0, 6.0)


def _reference_fill(thing: Thing, x: float, y: float) -> float:
    """Signed distance to the second tone of a patterned object."""
    dx, dy = x - thing.x, y - thing.y
    if thing.fill == "striped":
        return _reference_band(dy, 5.0)
    if thing.fill == "checked":
        return _reference_checks(dx, dy, 6.0)
    corners = [(5.0 * (dx // 5.0 + i), 5.0 * (dy // 5.0 + j)) for i in (0, 1) for j in (0, 1)]
    return min(math.hypot(dx - px, dy - py) for px, py in corners) - 1.6


def _reference_ink(thing: Thing, x: float, y: float, pixel: float) -> list[float]:
    ink = [float(value) for value in INKS[thing.colour]]
    if thing.fill != "plain":
        target = 255.0 if sum(ink) < 3 * 128 else 0.0
        cover = _cover(_reference_fill(thing, x, y), pixel)
        ink = [value + cover * 0.6 * (target - value) for value in ink]
    return [value + tint for value, tint in zip(ink, thing.tint, strict=True)]


def _cover(distance: float, pixel: float) -> float:
    return min(1.0, max(0.0, 0.5 - distance / pixel))


def _reference_pixel(scene: Scene, x: float, y: float, pixel: float) -> list[float]:
    colour = [paper + tint for paper, tint in zip(PAPERS[scene.background], scene.tint, strict=True)]
    if scene.background in TEXTURE_SHADE:
        shade = _cover(_reference_shade(scene, x, y), pixel) * TEXTURE_SHADE[scene.background]
        colour = [value + shade for value in colour]
    for thing in scene.things:
        cover = _cover(_reference_distance(thing, x, y), pixel)
        ink = _reference_ink(thing, x, y, pixel)
        colour = [(1 - cover) * old + cover * new for old, new in zip(colour, ink, strict=True)]
    return colour


def _reference_draw(scene: Scene, size: int) -> np.ndarray:
    pixel = 64 / size
    rows = [
        [_reference_pixel(scene, (column + 0.5) * pixel, (row + 0.5) * pixel, pixel) for column in range(size)]
        for row in range(size)
    ]
    return np.clip(np.array(rows), 0, 255)


@pytest.mark.parametrize("size", [64, 20])
def test_drawing_agrees_with_a_pixel_by_pixel_reference(scenes: list[Scene], size: int) -> None:
    chosen = [next(s for s in scenes if s.background == name) for name in BACKGROUNDS]
    chosen += [next(s for s in scenes if s.things[0].shape == name) for name in SHAPES]
    chosen += [next(s for s in scenes if s.things[0].fill == name) for name in FILLS]
    for scene in chosen:
        assert np.abs(draw(scene, size) - _reference_draw(scene, size)).max() <= 0.5 + 1e-6


def test_drawing_is_deterministic_and_8_bit(scenes: list[Scene]) -> None:
    image = draw(scenes[0])
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, draw(scenes[0]))


def test_mask_covers_the_objects(scenes: list[Scene]) -> None:
    image, mask = draw_with_mask(Scene("one", "teal", (Thing("large", "plain", "red", "square", 32, 32, 10),)))
    assert mask.max() == 1
    assert mask.min() == 0
    assert (image[mask == 1] == INKS["red"]).all()
    assert (image[mask == 0] == PAPERS["teal"]).all()


def test_every_jittered_object_is_inside_the_frame(scenes: list[Scene]) -> None:
    for scene in scenes:
        _, mask = draw_with_mask(scene)
        edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert edge.mean() < 0.1
