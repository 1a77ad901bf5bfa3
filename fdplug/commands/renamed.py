"""Options that had another word once: one table, so that an old word is answered with the one of today."""

from __future__ import annotations

RENAMED: dict[str, dict[str, str]] = {
    "analyze": {"--captions": "--limit"},
    "compare": {"--captions": "--limit", "--drift": "--feature-changes", "--images": "--real-images"},
    "complexity": {"--format": "--json or --markdown", "--size": "--sample-size"},
    "evaluate": {
        "--captions": "--annotations",
        "--json": "--out",
        "--metrics": "--scores",
        "--reference": "--real-images",
    },
    "generate": {"--no-propagate": "--no-propagation"},
    "predict": {
        "--data.images": "--data.real_images",
        "--model.propagate": "--model.propagation",
        "--out": "--writer.folder",
    },
    "report": {"--pictures": "--limit", "--side": "--size"},
    "tune": {"--captions": "--limit", "--keys": "--key-steps"},
}
"""By command, and by the word that is no more."""


def renamed(command: str, word: str) -> str | None:
    """Return what an option of a command is called today, if it had another word once."""
    return RENAMED.get(command, {}).get(word)
