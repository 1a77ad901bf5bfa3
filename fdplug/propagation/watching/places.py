"""Where the modules that are patched stand in their denoiser: each at one place, and still there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fdplug.denoisers.base import plain
from fdplug.errors import PropagationError

if TYPE_CHECKING:
    from torch import nn

    from fdplug.denoisers import Part


class Places:
    """The places of some modules in a network, and of those that they are in.

    Args:
        network: the network.
        names: of the modules in it.
    """

    def __init__(self, network: nn.Module, names: Iterable[str]) -> None:
        self._held: dict[str, tuple[nn.Module, str, nn.Module | None]] = {}
        for name in names:
            holder, path = plain(network), ""
            for key in name.split("."):
                path = f"{path}.{key}" if path else key
                inner = holder._modules.get(key)
                self._held[path] = holder, key, inner
                if inner is None:
                    break  # an attribute that is no child: it is followed no further
                holder = inner

    def moved(self) -> str | None:
        """Name a place where another module stands by now; None where all are as they were."""
        for path, (holder, key, inner) in self._held.items():
            if holder._modules.get(key) is not inner:
                return path
        return None


def of_part(network: nn.Module, part: Part) -> Places:
    """Return the places of what is patched of a part."""
    return Places(network, [*part.modules, *([] if part.probe is None else [part.probe])])


def check_apart(network: nn.Module, part: Part) -> None:
    """Refuse a denoiser in which a module of the part stands at two places: both would be handed the same features.

    Raises:
        PropagationError: it has such a module.
    """
    own = {id(network.get_submodule(name)): name for name in part.modules}
    names = {name: id(one) for name, one in plain(network).named_modules(remove_duplicate=False) if id(one) in own}
    for name, which in names.items():
        if own[which] != name and own[which] in names:
            raise PropagationError(
                f"{own[which]} and {name} are one module, which part '{part.name}' cannot replay at one place alone: "
                "put a copy at the other"
            )
