from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fdplug.shapes.control.agreement import boundaries, found_boundaries, load_finder, outline_f1
from fdplug.shapes.control.outlines import draw_outlines
from fdplug.shapes.drawing import draw
from fdplug.shapes.scene import Scene


def _near(pixel: tuple[int, int], pixels: set[tuple[int, int]], tolerance: int) -> bool:
    return any(max(abs(pixel[0] - y), abs(pixel[1] - x)) <= tolerance for y, x in pixels)


def _reference_f1(found: Tensor, given: Tensor, tolerance: int) -> float:
    """F1 of boundaries from its definition, pixel by pixel."""
    first, second = ({(int(y), int(x)) for y, x in one.nonzero()} for one in (found, given))
    precision = sum(_near(one, second, tolerance) for one in first) / len(first)
    recall = sum(_near(one, first, tolerance) for one in second) / len(second)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _reference_boundary(mask: Tensor) -> Tensor:
    found = torch.zeros_like(mask)
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            around = [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            inside = [mask[i, j] for i, j in around if 0 <= i < height and 0 <= j < width]
            found[y, x] = bool(mask[y, x]) and not all(inside)
    return found


@pytest.mark.parametrize("tolerance", [0, 1, 2])
def test_the_score_is_that_of_its_definition(tolerance: int) -> None:
    random = torch.Generator().manual_seed(tolerance)
    found = torch.rand(4, 12, 15, generator=random) < 0.06
    given = torch.rand(4, 12, 15, generator=random) < 0.06
    wanted = [_reference_f1(one, other, tolerance) for one, other in zip(found, given, strict=True)]
    torch.testing.assert_close(outline_f1(found, given, tolerance), torch.tensor(wanted))


def test_boundaries_are_the_outermost_pixels_of_an_area() -> None:
    masks = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.8
    masks[0, :, :] = True
    found = boundaries(masks)
    for one, mask in zip(found, masks, strict=True):
        assert torch.equal(one, _reference_boundary(mask))
    assert not found[0].any(), "the border of the picture is no boundary"


def test_nothing_agrees_with_nothing_only() -> None:
    nothing, something = torch.zeros(1, 8, 8, dtype=torch.bool), torch.eye(8, dtype=torch.bool)[None]
    assert outline_f1(nothing, nothing).tolist() == [1.0]
    assert outline_f1(nothing, something).tolist() == outline_f1(something, nothing).tolist() == [0.0]


def test_a_shift_costs_more_than_the_tolerance_only() -> None:
    square = torch.zeros(1, 40, 40, dtype=torch.bool)
    square[:, 10:25, 10:25] = True
    line = boundaries(square)
    scores = [outline_f1(line.roll(shift, 2), line).item() for shift in range(5)]
    assert scores[0] == scores[1] == 1.0
    assert scores[1] > scores[2] >= scores[3] >= scores[4]
    assert scores[4] < 0.6


@pytest.fixture(scope="module")
def finder() -> Any:
    return load_finder()


def pictures(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Drawn pictures (N, 3, 64, 64) in [0, 1] and their outlines (N, 64, 64)."""
    drawn = torch.stack([torch.from_numpy(draw(scene)).permute(2, 0, 1).float() / 255 for scene in scenes])
    return drawn, torch.stack([torch.from_numpy(draw_outlines(scene)[..., 0]) > 127 for scene in scenes])


def test_the_judge_finds_the_outlines_of_drawn_objects(finder: Any, scenes: list[Scene]) -> None:
    drawn, lines = pictures(scenes[:64])
    found = found_boundaries(finder, drawn)
    assert outline_f1(found, lines).mean() > 0.97
    assert outline_f1(found, lines.roll(1, 0)).mean() < 0.45, "of another scene"


def test_the_judge_finds_nothing_on_an_empty_background(finder: Any, scenes: list[Scene]) -> None:
    plain = torch.full((1, 3, 64, 64), 150 / 255)
    assert not found_boundaries(finder, plain).any()
