"""What may be a caption: a text that can be shown, written and tokenized."""

from __future__ import annotations

import unicodedata
from typing import Any

from fdplug.errors.wording import shown

ALLOWED = frozenset("\t\n\r")


def problem_of(text: Any) -> str | None:
    """What is wrong with a caption as a clause that begins with a verb, or None.

    Control characters are refused (they would reach terminals, logs and file lists), and so are lone surrogates, which
    no file can hold; tabs and line breaks are not.
    """
    if not isinstance(text, str) or not text.strip():
        return f"is {shown(text)}, a text is needed"
    if text.isprintable():
        return None
    for index, letter in enumerate(text):
        if letter not in ALLOWED and unicodedata.category(letter) in ("Cc", "Cs"):
            return f"holds the control character U+{ord(letter):04X} at position {index}: {shown(text, 40)}; remove it"
    return None
