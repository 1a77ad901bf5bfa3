"""The marker that plugins put on their hook functions."""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("fdplug")
