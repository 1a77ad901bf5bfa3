"""Every page that is written at build time, by the file that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.building import help_page, results_page, settings_page
from docs.building.catalogue import ROOT, plugins
from docs.building.figures import with_figures
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


def readers(config: Any) -> str:
    """Return the text of `llms.txt`, from the navigation of mkdocs."""
    made = generated()
    order = list(_files(config.nav))
    texts = {name: made.get(name) or with_figures((ROOT / "docs" / name).read_text()) for name in order}
    return llms(config.site_url, texts, order)


def _files(items: Any) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            for below in item.values():
                yield from [below] if isinstance(below, str) else _files(below)
