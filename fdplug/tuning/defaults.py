"""How much `fdplug tune` measures where it is not told."""

from __future__ import annotations

RESPONSES = 12
"""Runs that measure the response of the part that is computed at key steps only."""
