"""The outlines of a scene's objects, as the picture that a ControlNet is given: white lines on black."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fdplug.shapes.drawing import SIZE, coverage, distance, grid
from fdplug.shapes.scene import FRAME, Scene, parse_caption, scene_of

LINE_WIDTH = 1.5
"""Width of a line in units of the frame, 64 wide."""


def draw_outlines(scene: Scene, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Draw where the objects of `scene` end, without colours, fills and background, as RGB (size, size, 3).

    Example:
        >>> from fdplug.shapes.scene import Scene, Thing
        >>> lines = draw_outlines(Scene("one", "gray", (Thing("large", "plain", "red", "circle", 32, 32, 10),)))
        >>> lines[32, 32].tolist(), lines[32, 42].tolist()
        ([0, 0, 0], [255, 255, 255])
    """
    pixel = FRAME / size
    x, y = grid(size)
    canvas = np.zeros((size, size))
    for thing in scene.things:
        away = distance(thing, x, y)
        line = coverage(abs(away) - LINE_WIDTH / 2, pixel)
        canvas = np.maximum(canvas * (1 - coverage(away, pixel)), line)
    return np.repeat(np.floor(255 * canvas + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def outlines_of_caption(text: str, scene: Mapping[str, Any] | None = None) -> npt.NDArray[np.uint8]:
    """Draw the outlines of a caption's scene, or, where none is known, of one that the caption fits.

    The same caption always has the same outlines.

    Args:
        text: the caption.
        scene: what `Scene.to_dict` wrote.

    Raises:
        ValueError: there is no scene, and the caption is not of the world of `shapes`.
    """
    if scene is not None:
        return draw_outlines(Scene.from_dict(scene))
    return draw_outlines(scene_of(parse_caption(text), np.random.default_rng(zlib.crc32(text.encode()))))
