"""Parts from plugins: sets of modules that are computed at key steps and replayed at the others.

A denoiser family brings parts of its own, such as `encoder`; a part rule adds one for every family that it can handle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug import registry
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.errors import ConfigError, PluginClashError, PluginError, PropagationError
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Part", "PartRule"]


class PartRule(Stackable, ABC):
    """Names a part of any denoiser that it can handle; a user asks for it as for a family's own."""

    name: ClassVar[str]

    @abstractmethod
    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return the part of this denoiser; raise `PropagationError`, saying why, where there is none."""


def find_part(
    spec: str | Mapping[str, Any] | PartRule, family: DenoiserFamily, denoiser: nn.Module
) -> tuple[Part, PartRule | None]:
    """Return the part that `spec` names, and the rule that made it; None for a part of the family's own.

    Raises:
        ConfigError: neither the family nor a plugin knows the name or the option.
        PluginClashError: both do.
        PropagationError: the part holds no module of this denoiser.
    """
    if not isinstance(spec, PartRule):
        name, options = registry.parse("part", spec)
        if not _is_added(name, family, denoiser):
            return family.part(denoiser, name, options), None
    rule = registry.build("part", spec)
    return _checked(rule, rule.part(family, denoiser), denoiser), rule


def _is_added(name: str, family: DenoiserFamily, denoiser: nn.Module) -> bool:
    """Whether a plugin's part is meant, not one of the family's own."""
    own, added = [part.name for part in family.parts(denoiser)], registry.entries("part")
    if name in own and name in added:
        raise PluginClashError(
            f"part '{name}' is family '{family.name}''s own and also {added[name].path} of {added[name].provider}; "
            f"leave the plugin out, as with FDPLUG_BLOCK={added[name].plugin}"
        )
    if added and name not in own and name not in added:
        known = f"it has {', '.join(own)}; plugins add {', '.join(added)}"
        raise ConfigError(f"no part '{name}' in family '{family.name}'; {known}")
    return name in added


def _checked(rule: PartRule, part: Part, denoiser: nn.Module) -> Part:
    known = {name for name, _ in denoiser.named_modules()}
    if not part.modules:
        raise PropagationError(f"part '{rule.name}' of {type(denoiser).__name__} holds no module")
    missing = [name for name in part.modules if name not in known]
    if missing:
        raise PluginError(f"part '{rule.name}' names {missing[0]}, which {type(denoiser).__name__} does not have")
    return part
