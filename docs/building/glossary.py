"""The glossary, whose words are explained where they occur: a browser shows what they mean."""

from __future__ import annotations

import re

from docs.building.catalogue import ROOT

PAGE = ROOT / "docs" / "glossary.md"
ENTRY = re.compile(r"^\*\*(.+)\*\*\n:   (.+(?:\n    .+)*)", re.MULTILINE)
PLAIN = {"cache", "encoder", "family", "features", "guidance", "part", "policy", "round", "row", "score", "shapes"}
"""Words that stand in every second line, or that mean other things as well."""
COUNTED = {"denoiser", "full step", "injector", "key step", "preset", "replayed step", "sampler", "scheduler", "span"}
COUNTED |= {"companion", "transform", "variant"}


def entries() -> dict[str, str]:
    """Return what every word means, in one line."""
    return {word: " ".join(meaning.split()) for word, meaning in ENTRY.findall(PAGE.read_text())}


def explained() -> str:
    """Return the words as abbreviations of Markdown, to be put below a page."""
    lines = []
    for words, meaning in entries().items():
        plain = re.sub(r"[*`]", "", meaning)
        lines += [f"*[{word}]: {plain}" for word in _forms(words)]
    return "\n".join(lines)


def _forms(words: str) -> list[str]:
    found = [word for word in words.split(", ") if word not in PLAIN]
    return [*found, *(f"{word}s" for word in found if word in COUNTED)]
