"""The numbers behind the page's charts: quality against cost, and the drift of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdplug.predict.comparison.table import shown

COSTS = {"gflops_per_image": "GFLOPs per image", "seconds_per_image": "seconds per image"}


def quality_against_cost(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Qualities to choose from, the first one shown first; costs; and the variants with both."""
    numbers = sorted((one.number for one in shown(rows) if one.number), key=lambda number: not number.headline)
    qualities = [
        {"key": one.key, "title": one.head, "better": "more" if one.higher_is_better else "less"} for one in numbers
    ]
    keys = [one.key for one in numbers]
    return {
        "qualities": qualities,
        "costs": [{"key": key, "title": title} for key, title in COSTS.items()],
        "points": [_point(row, [*keys, *COSTS]) for row in rows],
    }


def _point(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "propagated": row["propagate"] is not None,
        "values": {key: row[key] for key in keys if row.get(key) is not None},
        "errors": {key: row[f"{key}_se"] for key in keys if row.get(f"{key}_se") is not None},
    }
