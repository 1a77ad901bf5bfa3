"""The scenes of the tests of `shapes`."""

from __future__ import annotations

from tests.shapes.conftest import scenes

__all__ = ["scenes"]
