"""The tiny saved pipeline and the annotation file of the tests of `fdplug predict`."""

from __future__ import annotations

from tests.counting import counted_once
from tests.predict.conftest import annotations, model

__all__ = ["annotations", "counted_once", "model"]
