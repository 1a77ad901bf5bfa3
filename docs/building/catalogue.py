"""Every plugin of this repository: the built-in ones, and those of the distributions in `plugins/`."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.building.docstring import Docstring, docstring, papers
from fdplug import registry
from fdplug.plugins import BUILT_IN, PluginManager
from fdplug.registry import KINDS, Entry

ROOT = Path(__file__).parents[2]
FASTER_DIFFUSION = "2312.09608"


@dataclass(frozen=True)
class Plugin:
    """A registered class, and where its page lies."""

    kind: str
    entry: Entry

    @property
    def name(self) -> str:
        """What users call it."""
        return self.entry.cls.name

    @property
    def cls(self) -> type[Any]:
        """The class."""
        return self.entry.cls

    @property
    def fact(self) -> str:
        """What others call it in `needs` and `excludes`."""
        return f"{self.kind}:{self.name}"

    @property
    def said(self) -> Docstring:
        """Its docstring."""
        return docstring(self.cls)

    @property
    def distribution(self) -> str:
        """What has to be installed for it."""
        return self.entry.provider.partition(" ")[0]

    @property
    def page(self) -> str:
        """Its page, inside the folder of the site's sources."""
        return f"plugins/{self.kind}/{self.name.replace('++', '-pp')}.md"

    @property
    def source(self) -> tuple[str, int]:
        """The file that defines it, inside the repository, and the line."""
        if hasattr(self.cls, "row"):
            return _row(self.name)
        file = Path(inspect.getsourcefile(self.cls) or "")
        return str(file.resolve().relative_to(ROOT)), inspect.getsourcelines(self.cls)[1]

    @property
    def papers(self) -> list[str]:
        """Numbers on arXiv: those that the class names, else those of its module's docstring; "the paper" is ours."""
        text = inspect.getdoc(self.cls) or ""
        own = papers(text)
        if own or self.distribution != "fdplug":
            module = sys.modules[self.cls.__module__].__doc__ or ""
            return own or papers(module.partition("\n")[0])
        return [FASTER_DIFFUSION] if re.search(r"\b(paper|Table|Faster Diffusion)\b", text) else []


def _row(name: str) -> tuple[str, int]:
    """Return where the table of transformers has the row of a family."""
    for path in sorted((ROOT / "fdplug" / "denoisers").glob("transformer*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if f'name="{name}"' in line:
                return str(path.relative_to(ROOT)), number
    raise LookupError(f"no row of the table of transformers is named {name}")


def manager() -> PluginManager:
    """Return a manager of all plugins of this repository, whatever is installed."""
    made = PluginManager()
    for module in BUILT_IN:
        made.add(importlib.import_module(module), module, "fdplug")
    for project in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        _add(made, project)
    return made


def _add(made: PluginManager, project: Path) -> None:
    stated = tomllib.loads(project.read_text())["project"]
    folder = str(project.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    for name, module in stated["entry-points"]["fdplug"].items():
        made.add(importlib.import_module(module), name, f"{stated['name']} {stated['version']}")


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """Return every plugin, kind by kind."""
    made = manager()
    return tuple(Plugin(kind, entry) for kind in KINDS for entry in registry.entries(kind, made).values())


def called(fact: str) -> Plugin | None:
    """Return the plugin that a fact names, such as `policy:all`."""
    return next((one for one in plugins() if one.fact == fact), None)
