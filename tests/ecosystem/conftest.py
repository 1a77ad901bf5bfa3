"""The distributions under `plugins/`, as they lie there."""

from __future__ import annotations

from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
DISTRIBUTIONS = sorted(path.parent for path in PLUGINS.glob("*/pyproject.toml"))


@pytest.fixture(params=DISTRIBUTIONS, ids=lambda folder: folder.name)
def distribution(request):
    """The folder of one distribution after the other."""
    return request.param
