"""What decides the cost of a pass is looked at before each one: modules, attention processors, switched adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fdplug import trees
from fdplug.denoisers.base import plain
from fdplug.profiling.outline import is_of_torch, switches
from fdplug.propagation.watching.snapshot import SIMPLE, Settings, attributes

if TYPE_CHECKING:
    from torch import nn

    from fdplug.propagation.watching.snapshot import Place, Snapshot


class Makeup:
    """What a network is made of; the same object is returned for as long as it is made of the same.

    Attributes:
        modules: all that were in it when it was last looked at, by name.
    """

    def __init__(self, network: nn.Module, modules: Mapping[str, nn.Module] | None = None) -> None:
        """Know where to look.

        Args:
            network: the network.
            modules: all that are in it, by name; None: they are looked for.
        """
        self._network = plain(network)
        self._last: Snapshot | None = None
        self._know(trees.named_modules(self._network) if modules is None else modules)

    def _know(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self._settings = Settings(list(modules.values()), _places)

    def now(self) -> Snapshot:
        """Return what it is made of now."""
        found = self._settings.snapshot()
        if self._last is not None and found is not self._last:
            self._know(trees.named_modules(self._network))  # modules that have come since are looked at from now on
            found = self._settings.snapshot()
        self._last = found
        return found


def _places(module: nn.Module) -> list[Place]:
    if type(module) in SIMPLE:  # no module inside it runs, and the one that takes its place is found from outside
        return []
    held = vars(module)
    inner: Place = (dict.values, held["_modules"])
    if is_of_torch(type(module)):
        return [inner]
    names = switches(module)
    names += ["processor"] if "processor" in held else []
    return [inner, (None, held), *attributes(held, names, inside=False)]
