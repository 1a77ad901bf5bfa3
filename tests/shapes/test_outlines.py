from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fdplug.shapes.captions import BACKGROUNDS
from fdplug.shapes.control.outlines import draw_outlines, outlines_of_caption
from fdplug.shapes.drawing import draw_with_mask
from fdplug.shapes.scene import Scene, Thing

CIRCLE = Scene("one", "gray", (Thing("large", "plain", "red", "circle", 30.5, 33.25, 10.0),))


def test_the_line_lies_where_a_circle_ends() -> None:
    """Pixel by pixel, from the distance of its centre to the circle."""
    lines = draw_outlines(CIRCLE)
    assert lines.shape == (64, 64, 3)
    assert lines.dtype == np.uint8
    for row in range(64):
        for column in range(64):
            away = abs(((column + 0.5 - 30.5) ** 2 + (row + 0.5 - 33.25) ** 2) ** 0.5 - 10)
            share = min(1.0, max(0.0, 0.75 + 0.5 - away))
            assert lines[row, column].tolist() == [pytest.approx(255 * share, abs=0.51)] * 3


def grown(pixels: np.ndarray, by: int) -> np.ndarray:
    """Pixels and all that are within `by` of them, along the axes or diagonally."""
    around, (height, width) = np.pad(pixels, by), pixels.shape
    shifts = [(y, x) for y in range(2 * by + 1) for x in range(2 * by + 1)]
    return np.any([around[y : y + height, x : x + width] for y, x in shifts], axis=0)


def test_lines_run_along_the_border_of_what_is_drawn(scenes: list[Scene]) -> None:
    """Every border has its line, and lines are nowhere else but where two objects touch."""
    alone = []
    for scene in scenes[:30]:
        mask = draw_with_mask(scene)[1] > 0.5
        lines = draw_outlines(scene)[..., 0] > 127
        border = np.zeros_like(mask)
        border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
        border[1:] |= mask[1:] != mask[:-1]
        assert (border & ~grown(lines, 1)).sum() <= 0.01 * border.sum()
        alone.append((lines & ~grown(border, 2)).sum() / lines.sum())
    assert max(alone) < 0.1
    assert np.mean(alone) < 0.01


def test_colours_fills_and_backgrounds_leave_no_trace() -> None:
    (thing,) = CIRCLE.things
    other = replace(CIRCLE, background="speckled", things=(replace(thing, fill="dotted", colour="blue"),))
    np.testing.assert_array_equal(draw_outlines(other), draw_outlines(CIRCLE))
    assert len(BACKGROUNDS) == 6


def test_another_size_shows_the_same() -> None:
    large = draw_outlines(CIRCLE, 128)[..., 0].astype(float)
    halved = large.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert abs(halved - draw_outlines(CIRCLE)[..., 0]).max() < 45


def test_a_caption_alone_has_outlines_of_its_own() -> None:
    text = "a small plain red circle left of a large dotted blue square on a teal background"
    lines = outlines_of_caption(text)[..., 0]
    np.testing.assert_array_equal(lines, outlines_of_caption(text)[..., 0])
    left, right = (lines[:, half].any(axis=1).sum() for half in (slice(0, 32), slice(32, 64)))
    assert left < right, "the small circle is lower than the large square"
    np.testing.assert_array_equal(outlines_of_caption("whatever", CIRCLE.to_dict()), draw_outlines(CIRCLE))
    with pytest.raises(ValueError, match="a red circle"):
        outlines_of_caption("a red circle")
