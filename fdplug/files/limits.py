"""How deep, how large and how long values of a file may be."""

from __future__ import annotations

from typing import Any

DEPTH = 64
DIGITS = 40
ITEMS = 100_000


class TooMuch(ValueError):
    """A value is beyond a limit."""


def limited_depth(value: Any, most: int = DEPTH) -> Any:
    """Return a value of lists and mappings, unless it is nested deeper than `most`; what is shared counts once a level.

    Raises:
        TooMuch: it is, or holds itself.
    """
    level = [value]
    for _ in range(most + 1):
        inside = {
            id(item): item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(item, (dict, list))
        }
        if not inside:
            return value
        level = list(inside.values())
    raise TooMuch(f"it is nested more than {most} levels deep")


def whole_number(digits: str) -> int:
    """Return the whole number that digits write, unless there are too many of them.

    Raises:
        TooMuch: there are.
    """
    if len(digits) > DIGITS:
        raise TooMuch(f"it holds a number of {len(digits):,} digits, at most {DIGITS} are read")
    return int(digits)


def is_whole(text: object, most: int = 2**63 - 1) -> bool:
    """Whether a number is, or a text writes, a non-negative whole number of at most `most` in the digits 0 to 9."""
    if isinstance(text, int):
        return not isinstance(text, bool) and 0 <= text <= most
    digits = text if isinstance(text, str) else ""
    return digits.isascii() and digits.isdigit() and len(digits) <= DIGITS and int(digits) <= most
