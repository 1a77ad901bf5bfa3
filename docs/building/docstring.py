"""The docstring of a class, taken apart: what it says, and what it says about its options."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\w+): ")
ARXIV = re.compile(r"\b(\d{4}\.\d{5})\b")


@dataclass(frozen=True)
class Docstring:
    """A docstring in two.

    Attributes:
        text: everything before the first section, in Markdown.
        arguments: what is said about each option, in one line.
    """

    text: str
    arguments: dict[str, str]

    @property
    def summary(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]

    @property
    def body(self) -> str:
        """What comes behind the first line."""
        return self.text.partition("\n")[2].strip()


def docstring(cls: type) -> Docstring:
    """Return what a class says of itself; about an option that it inherits, its base class is asked."""
    arguments: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        arguments |= _arguments(inspect.cleandoc(base.__dict__.get("__doc__") or ""))
    text = inspect.getdoc(cls) or ""
    return Docstring(SECTION.split(text)[0].strip(), arguments)


def _arguments(text: str) -> dict[str, str]:
    """Return the entries of the section `Args`."""
    parts = SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found: dict[str, str] = {}
    name = ""
    for line in sections.get("Args", "").splitlines():
        entry = ENTRY.match(line)
        name = entry[1] if entry else name
        if entry:
            found[name] = line[entry.end() :].strip()
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def papers(text: str) -> list[str]:
    """Return the arXiv numbers that a text names, each once, in order."""
    return list(dict.fromkeys(ARXIV.findall(text)))
