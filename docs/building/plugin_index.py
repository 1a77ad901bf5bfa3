"""The directory of plugins, and its place in the navigation."""

from __future__ import annotations

from typing import Any

from docs.building.catalogue import Plugin, plugins
from fdplug.registry import KINDS

INDEX = "plugins/index.md"
KIND = {
    "policy": "Which steps of a run are key steps.",
    "cache": "What is kept of a key step, and what is handed out at the others.",
    "injector": "What noise is put back late in the run.",
    "sampler": "The scheduler, and where its steps lie.",
    "family": "What is known about a class of denoisers. Chosen by the pipeline, not by you.",
    "transform": "Other changes of a pipeline, which stack with propagation.",
    "part": "What is computed at key steps only, beside the families' own `encoder`, `decoder` and `trunk`.",
    "score": "Numbers about images.",
    "guidance": "At which steps all rows of a guided batch run, and what stands for them elsewhere.",
}


def index() -> str:
    """Return the directory in Markdown."""
    sections = [_section(kind) for kind in KINDS]
    head = (
        "# Plugins\n\nEvery plugin of fdplug and of the distributions beside it, from the classes themselves. "
        "`fdplug plugins` lists what *you* have installed. To write one: [a policy](../tutorials/publish-a-policy.md), "
        "[any kind](../write-a-plugin.md)."
    )
    return "\n\n".join([head, *sections]) + "\n"


def _section(kind: str) -> str:
    rows = [_row(one) for one in plugins() if one.kind == kind]
    title = KINDS[kind].plural.capitalize()
    return "\n".join([f"## {title}", "", KIND[kind], "", "| name | from | what it is |", "|---|---|---|", *rows])


def _row(plugin: Plugin) -> str:
    return f"| [`{plugin.name}`]({plugin.page.partition('/')[2]}) | {plugin.distribution} | {plugin.said.summary} |"


def navigation() -> list[Any]:
    """Return what stands in the navigation below "Plugins"."""
    kinds = [
        {KINDS[kind].plural.capitalize(): [{one.name: one.page} for one in plugins() if one.kind == kind]}
        for kind in KINDS
    ]
    return [INDEX, *kinds]


def filled(items: list[Any]) -> list[Any]:
    """Return a navigation in which the pages of all plugins stand where mkdocs.yml has their directory."""
    found: list[Any] = []
    for item in items:
        below = next(iter(item.values())) if isinstance(item, dict) else None
        if below == INDEX:
            found.append({"Plugins": navigation()})
        elif isinstance(below, list):
            found.append({next(iter(item)): filled(below)})
        else:
            found.append(item)
    return found
