"""Labels: what a demand says about the picture, as class indices in canonical order.

The first object is the left or upper one whatever the caption's phrasing, so the relation is carried by the layout
together with the order of the objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fdplug.shapes.captions import BACKGROUNDS, COLOURS, SHAPES, SIZES, Demand

ARRANGEMENTS = ("one", "left", "above")
ABSENT = -100
CLASSES = {
    "layout": ARRANGEMENTS,
    "background": BACKGROUNDS,
    "size1": SIZES,
    "colour1": COLOURS,
    "shape1": SHAPES,
    "size2": SIZES,
    "colour2": COLOURS,
    "shape2": SHAPES,
}
ATTRIBUTES = {
    "layout": ("layout",),
    "background": ("background",),
    "size": ("size1", "size2"),
    "colour": ("colour1", "colour2"),
    "shape": ("shape1", "shape2"),
}


def labels(demands: Sequence[Demand]) -> dict[str, Tensor]:
    """Class index of every head for every demand, int64 (N,); `ABSENT` where there is no second object."""
    rows = [_row(demand.canonical()) for demand in demands]
    return {head: torch.tensor([row[head] for row in rows], dtype=torch.int64) for head in CLASSES}


def agreement(answers: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whether each attribute is right in each picture, bool (N,); ``all`` is the exact match of every one."""
    right = {head: (answers[head] == wanted[head]) | (wanted[head] == ABSENT) for head in CLASSES}
    verdict = {name: torch.stack([right[head] for head in heads]).all(0) for name, heads in ATTRIBUTES.items()}
    verdict["all"] = torch.stack(list(verdict.values())).all(0)
    return verdict


def _row(demand: Demand) -> dict[str, int]:
    row = dict.fromkeys(CLASSES, ABSENT)
    row["layout"] = ARRANGEMENTS.index(demand.layout)
    row["background"] = BACKGROUNDS.index(demand.background)
    for place, look in enumerate(demand.looks, start=1):
        for attribute in ("size", "colour", "shape"):
            head = f"{attribute}{place}"
            row[head] = CLASSES[head].index(getattr(look, attribute))
    return row
