"""The scenes of the tests of `shapes`."""

from __future__ import annotations

from tests.counting import counted_once
from tests.shapes.conftest import scenes

__all__ = ["counted_once", "scenes"]
