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

    from docs.building.catalogue import plugins
    from docs.building.generated import files as beside
    from docs.building.generated import generated

    sources = {plugin.page: plugin.source[0] for plugin in plugins()}
    for name, text in generated().items():
        made = File.generated(config, name, content=text)
        made.edit_uri = f"../{sources[name]}" if name in sources else None
        files.append(made)
    for name, text in beside(config).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put figures from files of results into prose, and the meaning of words below."""
    from docs.building.generated import finished

    return finished(markdown, page.file.src_uri)
