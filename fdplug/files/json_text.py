"""Json: read within limits, without doubled keys and without numbers that are none."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from fdplug.errors.wording import shown
from fdplug.files.limits import TooMuch, limited_depth, whole_number
from fdplug.files.source import Source


def read_json(source: Source) -> Any:
    """Return what a json file holds.

    Raises:
        FdplugError: it cannot be read, or is no json.
    """
    return source.parsed(parse_json, "it is not valid json")


def parse_json(text: str) -> Any:
    """Return the value of a text in json.

    Raises:
        TooMuch: it is too deep, or a number is too long.
        ValueError: it is no json, a key of an object appears twice, or a number is not finite.
    """
    try:
        value = json.loads(
            text, parse_int=whole_number, parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_object
        )
    except RecursionError:
        raise TooMuch("it is nested too deep") from None
    return limited_depth(value)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise TooMuch(f"the number {shown(digits, 40)} is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice, 40)} appears twice in one object")
    return found
