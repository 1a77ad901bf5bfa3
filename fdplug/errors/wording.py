"""Values, numbers and foreign errors inside messages: short, on one line, and printable, whatever they are."""

from __future__ import annotations

import reprlib
import unicodedata

LONGEST = 60
_TURNS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


class _Short(reprlib.Repr):
    """A representation that looks at no more of a value than it shows, so that none takes long."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = 2 * LONGEST
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 6

    def repr_int(self, x: int, level: int) -> str:
        """Write large numbers by their size: Python refuses to print those of more than 4,300 digits."""
        return repr(x) if x.bit_length() <= 128 else f"a number of {x.bit_length()} bits"


_SHORT = _Short()


def shown(value: object, longest: int = LONGEST) -> str:
    """Return `repr(value)` for a message: cut at `longest` letters, without control characters; it never fails."""
    try:
        text = _SHORT.repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return cut(printable(text), longest)


def one_line(error: object, longest: int = 300) -> str:
    """Return the text of an error on one line; that of an error which cannot say itself is its class."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return cut(printable(text) or type(error).__name__, longest)


def cut(text: str, longest: int) -> str:
    """Return a text, its end replaced by dots where it is longer than `longest` letters."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def number_of(count: int, noun: str) -> str:
    """Return a number and what it counts: `1 image`, `2 images`."""
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def printable(text: str) -> str:
    """Return a text with control characters and lone surrogates written as escapes, as `repr` writes them.

    So are those that turn the direction of what follows, which a reader would take for another text.
    """
    if text.isprintable():
        return text
    return "".join(one.encode("unicode_escape").decode() if is_control(one) else one for one in text)


def is_control(letter: str) -> bool:
    """Whether a letter moves a terminal, turns the direction of what follows, or can be written to no file."""
    return unicodedata.category(letter) in ("Cc", "Cs") or letter in _TURNS
