"""What `mkdocs build` asks: pages that are written at build time, their place in the navigation, figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs runs this file by itself


def on_config(config: Any) -> Any:
    """Put the page of every plugin in the navigation, where mkdocs.yml has their directory."""
    from docs.building.plugin_index import filled

    config.nav = filled(config.nav)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are written at build time; whoever edits that of a plugin is led to its class."""
    from mkdocs.structure.files import File

    from docs.building import notebooks, schema
    from docs.building.catalogue import plugins
    from docs.building.generated import generated, readers

    sources = {plugin.page: plugin.source[0] for plugin in plugins()}
    for name, text in generated().items():
        made = File.generated(config, name, content=text)
        made.edit_uri = f"../{sources[name]}" if name in sources else None
        files.append(made)
    files.append(File.generated(config, "llms.txt", content=readers(config)))
    files.append(File.generated(config, schema.FILE, content=schema.text()))
    for name in notebooks.TUTORIALS:
        files.append(File.generated(config, notebooks.file_of(name), content=notebooks.notebook(name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put figures from files of results into prose, and the meaning of words below."""
    from docs.building.figures import with_figures
    from docs.building.glossary import explained
    from docs.building.notebooks import TUTORIALS, offer

    text, (folder, _, name) = with_figures(markdown), page.file.src_uri.removesuffix(".md").partition("/")
    text = offer(text, name) if folder == "tutorials" and name in TUTORIALS else text
    return text if page.file.src_uri in ("glossary.md", "changelog.md") else f"{text}\n\n{explained()}\n"
