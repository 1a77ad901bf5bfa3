"""Labels: what a demand says about the picture, as class indices in canonical order.

The first object is the left or upper one whatever the caption's phrasing, so the relation is carried by the layout
together with the order of the objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fdplug.shapes.captions import BACKGROUNDS, COLOURS, FILLS, MOST_OBJECTS, SHAPES, SIZES, Demand

ARRANGEMENTS = ("one", "two left to right", "two top to bottom", "three left to right", "three top to bottom")
ABSENT = -100
OBJECT_CLASSES = {"size": SIZES, "fill": FILLS, "colour": COLOURS, "shape": SHAPES}
CLASSES = {"layout": ARRANGEMENTS, "background": BACKGROUNDS} | {
    f"{name}{place}": classes for place in range(1, MOST_OBJECTS + 1) for name, classes in OBJECT_CLASSES.items()
}
ATTRIBUTES = {"layout": ("layout",), "background": ("background",)} | {
    name: tuple(f"{name}{place}" for place in range(1, MOST_OBJECTS + 1)) for name in OBJECT_CLASSES
}


def labels(demands: Sequence[Demand]) -> dict[str, Tensor]:
    """Class index of every head for every demand, int64 (N,); `ABSENT` for the attributes of absent objects."""
    rows = [_row(demand.canonical()) for demand in demands]
    return {head: torch.tensor([row[head] for row in rows], dtype=torch.int64) for head in CLASSES}


def agreement(answers: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whether each attribute is right in each picture, bool (N,); ``all`` is the exact match of every one."""
    right = {head: (answers[head] == wanted[head]) | (wanted[head] == ABSENT) for head in CLASSES}
    verdict = {name: torch.stack([right[head] for head in heads]).all(0) for name, heads in ATTRIBUTES.items()}
    verdict["all"] = torch.stack(list(verdict.values())).all(0)
    return verdict


def arrangement(demand: Demand) -> int:
    """Index in `ARRANGEMENTS` of a canonical demand."""
    if demand.layout == "one":
        return 0
    return 1 + 2 * (len(demand.looks) - 2) + ("left", "above").index(demand.layout)


def _row(demand: Demand) -> dict[str, int]:
    row = dict.fromkeys(CLASSES, ABSENT)
    row["layout"] = arrangement(demand)
    row["background"] = BACKGROUNDS.index(demand.background)
    for place, look in enumerate(demand.looks, start=1):
        for name, classes in OBJECT_CLASSES.items():
            row[f"{name}{place}"] = classes.index(getattr(look, name))
    return row
