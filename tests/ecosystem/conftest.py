"""The distributions under `plugins/`, as they lie there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
DISTRIBUTIONS = sorted(path.parent for path in PLUGINS.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def importable():
    """The distributions' folders on the path, installed or not."""
    added = [str(folder) for folder in DISTRIBUTIONS]
    sys.path[:0] = added
    yield
    for path in added:
        sys.path.remove(path)


@pytest.fixture(params=DISTRIBUTIONS, ids=lambda folder: folder.name)
def distribution(request):
    """The folder of one distribution after the other."""
    return request.param
