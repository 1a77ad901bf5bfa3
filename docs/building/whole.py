"""The site's sources with all that is written at build time in place, for generators that run no hooks of mkdocs.

```bash
python -m docs.building.whole FOLDER      # then: zensical build -f FOLDER/mkdocs.yml
```
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from docs.building.catalogue import ROOT
from docs.building.generated import files, finished, generated
from docs.building.plugin_index import filled


def write(folder: Path) -> None:
    """Write sources and configuration into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("building", "__pycache__"))
    shutil.copytree(ROOT / "docs" / "building" / "theme", folder / "theme")
    config = settings()
    for page in (folder / "docs").rglob("*.md"):
        page.write_text(finished(page.read_text(), str(page.relative_to(folder / "docs"))))
    made = {name: finished(text, name) for name, text in generated().items()}
    for name, text in {**made, **files(SimpleNamespace(**config))}.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def settings() -> dict[str, Any]:
    """Return mkdocs.yml as it is for the whole sources."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config["nav"] = filled(config["nav"])
    config["theme"]["custom_dir"] = "theme"
    config["exclude_docs"] = config["exclude_docs"].replace("building/\n", "")
    del config["hooks"]
    for extension in config["markdown_extensions"]:
        if isinstance(extension, dict) and "pymdownx.snippets" in extension:
            extension["pymdownx.snippets"]["base_path"] = [str(ROOT)]
    return config


if __name__ == "__main__":
    write(Path(sys.argv[1]))
