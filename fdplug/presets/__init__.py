"""Presets: a saved choice of all settings, what it was made for, and the figures it was measured with."""

from __future__ import annotations

from fdplug.presets.preset import Preset, load

__all__ = ["Preset", "load"]
