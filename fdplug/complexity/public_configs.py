"""The configurations of public denoisers inside the package."""

from __future__ import annotations

from importlib import resources
from typing import Any


def public_configs() -> list[str]:
    """Names of the configurations inside the package."""
    return sorted(path.name.removesuffix(".json") for path in inside().iterdir() if path.name.endswith(".json"))


def inside() -> Any:
    """The folder that they are in."""
    return resources.files("fdplug.complexity") / "configs"
