"""Every page that is written at build time, by the file that it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docs.building import help_page, notebooks, results_page, schema, settings_page
from docs.building.catalogue import ROOT, plugins
from docs.building.figures import with_figures
from docs.building.glossary import explained
from docs.building.llms import llms
from docs.building.plugin_index import INDEX, index
from docs.building.plugin_page import page


def generated() -> dict[str, str]:
    """Return the texts of the pages in Markdown, by file."""
    return {
        INDEX: index(),
        help_page.PAGE: help_page.help_page(),
        settings_page.PAGE: settings_page.settings_page(),
        results_page.PAGE: results_page.results_page(),
        **{plugin.page: page(plugin) for plugin in plugins()},
    }


def finished(text: str, name: str) -> str:
    """Return a page with its figures, the meaning of its words below, and its notebook where it has one."""
    folder, _, stem = name.removesuffix(".md").partition("/")
    text = enlarged(with_figures(text))
    if folder == "tutorials" and stem in notebooks.TUTORIALS:
        text = notebooks.offer(text, stem)
    return text if name in ("glossary.md", "changelog.md") else f"{text}\n\n{explained()}\n"


def enlarged(text: str) -> str:
    """Return a page whose pictures lead to themselves: on a phone they are small."""
    return re.sub(r"^!\[([^\]]*)\]\(([^)\s]+)\)$", r"[![\1](\2)](\2)", text, flags=re.MULTILINE)


def files(config: Any) -> dict[str, str]:
    """Return what lies beside the pages: for programs that read, for editors, for notebooks."""
    books = {notebooks.file_of(name): notebooks.notebook(name) for name in notebooks.TUTORIALS}
    return {"llms.txt": readers(config), schema.FILE: schema.text(), **books}


def readers(config: Any) -> str:
    """Return the text of `llms.txt`, from the navigation of mkdocs."""
    made = generated()
    order = list(_order(config.nav))
    texts = {name: made.get(name) or with_figures((ROOT / "docs" / name).read_text()) for name in order}
    return llms(config.site_url, texts, order)


def _order(items: Any) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            for below in item.values():
                yield from [below] if isinstance(below, str) else _order(below)
