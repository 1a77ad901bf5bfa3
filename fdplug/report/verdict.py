"""What a comparison comes to: is propagation worth it here, or are fewer steps as good?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fdplug.lookup import score_numbers
from fdplug.predict.comparison.footnotes import equal_time, without_pair
from fdplug.predict.comparison.table import score_cell
from fdplug.profiling.spread import Spread
from fdplug.scores import BASELINE, Number
from fdplug.scores.fidelity import PSNR

Row = dict[str, Any]
NO_STEPS = "no un-accelerated variant takes as little time. Compare with fewer steps, too."


def verdict(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each headline score: in how many cases propagation is ahead of fewer steps, or behind.

    The last one names the variants that no fewer steps can be held against, if there are any.
    """
    if all(row["propagate"] is None for row in rows):
        return ["No variant propagates features."]
    pairs = _pairs(rows)
    if not pairs:
        return [f"Whether propagation is worth it cannot be told: {NO_STEPS}"]
    judged = list(_sentences(pairs)) or ["There is no score to judge by."]
    return [*judged, *_not_judged(without_pair(rows, pairs))]


def _not_judged(rows: Sequence[Row]) -> Iterator[str]:
    """Name rows that are faster than all of fewer steps."""
    if rows:
        yield f"Not judged: {', '.join(row['name'] + _speed(row) for row in rows)}, as {NO_STEPS}"


def _speed(row: Row) -> str:
    return "" if row["compared_with"] is None else f" at {row['speedup']:.2f}x"


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return every propagated row with the fewer steps to choose instead: those of its time, or less.

    Where none takes less, one whose rounds took as long as some of the row's counts as well.
    """
    found = {row["name"]: (row, other) for row, other in equal_time(list(rows))}
    for row in rows:
        if row["propagate"] is None or row["name"] in found:
            continue
        near = [other for other in rows if other["propagate"] is None and _as_long(row, other)]
        if near:
            found[row["name"]] = (row, min(near, key=lambda other: other["seconds_per_image"]))
    return list(found.values())


def _as_long(row: Row, other: Row) -> bool:
    own, less = (Spread.read(one, "seconds_per_image") for one in (row, other))
    return other["name"] != row["compared_with"] and not own.differs(less)


def _sentences(pairs: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    for number in score_numbers().values():
        if not number.headline:
            continue
        told = [(row, _standing(row, other, number)) for row, other in pairs if _comparable(row, other, number)]
        if told:
            counts = Counter(standing for _, standing in told)
            listed = ", ".join(f"{word} in {counts[word]}" for word in ("ahead", "level", "behind"))
            best = max((row for row, _ in told), key=lambda row: _worth(row, number))
            yield (
                f"{number.title}: beside fewer steps that take no more time, propagation is {listed} of {len(told)}"
                f" {'case' if len(told) == 1 else 'cases'}; its best is {best['name']} with"
                f" {score_cell(best, number, True)} {number.unit}".rstrip()
                + f"{_speed(best)}."
            )


def _comparable(row: Row, other: Row, number: Number) -> bool:
    if number.key in score_numbers(without=BASELINE) or row["compared_with"] == other["compared_with"]:
        return all(_value(one, number) is not None for one in (row, other))
    return False


def _value(row: Mapping[str, Any], number: Number) -> float | None:
    return float("inf") if number.key == PSNR and row.get("identical") else row.get(number.key)


def _worth(row: Row, number: Number) -> float:
    value = _value(row, number)
    assert value is not None  # only rows that can be compared get here
    return value if number.higher_is_better else -value


def _standing(row: Row, other: Row, number: Number) -> str:
    """Return where a row stands; a difference within the standard errors is none."""
    difference = _worth(row, number) - _worth(other, number)
    error = sum((one.get(f"{number.key}_se") or 0.0) ** 2 for one in (row, other)) ** 0.5
    if abs(difference) <= error or difference != difference:
        return "level"
    return "ahead" if difference > 0 else "behind"
