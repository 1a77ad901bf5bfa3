"""`llms.txt`: what pages there are and what they are about, for programs that read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

FILE = "llms.txt"


def llms(site: str, pages: Mapping[str, str], order: Iterable[str]) -> str:
    """Return the file.

    Args:
        site: the address of the site.
        pages: texts by file.
        order: the files, as the navigation has them.
    """
    lines = [f"- [{_title(pages[name])}]({site}{_address(name)}): {_first(pages[name])}" for name in order]
    return (
        "\n".join(["# fdplug", "", "> Training-free acceleration of diffusion models, as plugins", "", *lines]) + "\n"
    )


def _address(name: str) -> str:
    return re.sub(r"(^|/)index\.md$", r"\1", name).replace(".md", "/")


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _first(text: str) -> str:
    """Return the first sentence of a page's first paragraph."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    plain = [part.strip() for part in prose.split("\n\n") if part.strip() and not re.match(r"\s*[#*:|!<-]", part)]
    words = " ".join((plain or [""])[0].split())
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", words).partition(". ")[0].rstrip(".:") + "."
