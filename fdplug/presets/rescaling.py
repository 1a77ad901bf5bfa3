"""Settings for another number of steps, as far as policy and cache say what they mean there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdplug import registry
from fdplug.errors import ConfigError

KINDS = {"policy": "paper", "cache": "reuse"}


def rescaled(propagation: Mapping[str, Any], steps: int, wanted: int, name: str) -> dict[str, Any]:
    """Return the settings of a run of `steps` steps for one of `wanted` steps.

    Args:
        propagation: settings of `propagate`.
        steps: of the run that they are for.
        wanted: of the other one.
        name: of the preset, for messages.

    Raises:
        ConfigError: policy or cache has no settings that mean the same there.
    """
    changed = dict(propagation)
    for kind, default in KINDS.items():
        plugin, options = registry.parse(kind, propagation.get(kind, default))
        found = registry.find(kind, plugin).rescaled(options, steps, wanted)
        if found is None:
            raise ConfigError(
                f"{name} is for {steps} steps and its {kind} '{plugin}' cannot be rescaled to {wanted}; "
                f"take {steps} steps, or optimize for {wanted}"
            )
        changed[kind] = {plugin: dict(found)} if found else plugin
    return changed
