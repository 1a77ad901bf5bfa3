"""How attention is counted: all of it, or half, as in the paper's column; `fdplug.profiling.flops` has the table."""

from __future__ import annotations

CONVENTIONS = ("full", "paper")
