"""What decides the cost of a pass is looked at before each one: modules, attention processors, switched adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdplug import trees
from fdplug.denoisers.base import plain
from fdplug.profiling.outline import is_of_torch, switches
from fdplug.propagation.watching.snapshot import SIMPLE, Settings, attributes

if TYPE_CHECKING:
    from torch import nn

    from fdplug.propagation.watching.snapshot import Place, Snapshot


class Makeup:
    """What a network is made of; the same object is returned for as long as it is made of the same."""

    def __init__(self, network: nn.Module, modules: Sequence[nn.Module] | None = None) -> None:
        """Know where to look.

        Args:
            network: the network.
            modules: all that are in it; None: they are looked for.
        """
        self._network = plain(network)
        self._settings = self._walk() if modules is None else Settings(modules, _places)
        self._last: Snapshot | None = None

    def _walk(self) -> Settings:
        return Settings(trees.modules(self._network), _places)

    def now(self) -> Snapshot:
        """Return what it is made of now."""
        found = self._settings.snapshot()
        if self._last is not None and found is not self._last:
            self._settings = self._walk()  # modules that have come since are looked at from now on
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
