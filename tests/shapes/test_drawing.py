from __future__ import annotations

import math

import numpy as np
import pytest

from fdplug.shapes.captions import BACKGROUNDS, SHAPES
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
    bars = [(r, 0.34 * r), (0.34 * r, r)]
    return min(max(abs(dx) - width, abs(dy) - height) for width, height in bars)


def _reference_shade(scene: Scene, x: float, y: float) -> float:
    """Signed distance to the background's dark parts."""
    rng = np.random.default_rng(scene.texture)
    if scene.background == "striped":
        within = (x / 12.0 + rng.random()) % 1.0
        return (abs(within - 0.5) - 0.25) * 12.0
    places = rng.random((SPECKLES, 2)) * 64
    return min(math.hypot(x - px, y - py) for px, py in places) - 2.0


def _cover(distance: float, pixel: float) -> float:
    return min(1.0, max(0.0, 0.5 - distance / pixel))


def _reference_pixel(scene: Scene, x: float, y: float, pixel: float) -> list[float]:
    colour = [paper + tint for paper, tint in zip(PAPERS[scene.background], scene.tint, strict=True)]
    if scene.background in TEXTURE_SHADE:
        shade = _cover(_reference_shade(scene, x, y), pixel) * TEXTURE_SHADE[scene.background]
        colour = [value + shade for value in colour]
    for thing in scene.things:
        cover = _cover(_reference_distance(thing, x, y), pixel)
        ink = [value + tint for value, tint in zip(INKS[thing.colour], thing.tint, strict=True)]
        colour = [(1 - cover) * old + cover * new for old, new in zip(colour, ink, strict=True)]
    return colour


def _reference_draw(scene: Scene, size: int) -> np.ndarray:
    pixel = 64 / size
    rows = [
        [_reference_pixel(scene, (column + 0.5) * pixel, (row + 0.5) * pixel, pixel) for column in range(size)]
        for row in range(size)
    ]
    return np.clip(np.array(rows), 0, 255)


@pytest.mark.parametrize("size", [32, 20])
def test_drawing_agrees_with_a_pixel_by_pixel_reference(scenes: list[Scene], size: int) -> None:
    chosen = [next(s for s in scenes if s.background == name) for name in BACKGROUNDS]
    chosen += [next(s for s in scenes if s.things[0].shape == name) for name in SHAPES]
    for scene in chosen:
        assert np.abs(draw(scene, size) - _reference_draw(scene, size)).max() <= 0.5 + 1e-6


def test_drawing_is_deterministic_and_8_bit(scenes: list[Scene]) -> None:
    image = draw(scenes[0])
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, draw(scenes[0]))


def test_mask_covers_the_objects(scenes: list[Scene]) -> None:
    image, mask = draw_with_mask(Scene("one", "teal", (Thing("large", "red", "square", 32, 32, 14),)))
    assert mask.max() == 1
    assert mask.min() == 0
    assert (image[mask == 1] == INKS["red"]).all()
    assert (image[mask == 0] == PAPERS["teal"]).all()


def test_every_jittered_object_is_inside_the_frame(scenes: list[Scene]) -> None:
    for scene in scenes:
        _, mask = draw_with_mask(scene)
        edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert edge.mean() < 0.1
