"""`propagate`, and how settings, plugins and a pipeline become what a propagation works with."""

from fdplug.lookup import find_families, find_family
from fdplug.pipeline.propagation import Propagation, propagate

__all__ = ["Propagation", "find_families", "find_family", "propagate"]
