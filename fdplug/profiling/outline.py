"""What decides the cost of a pass, as text: the shapes of its arguments, and what its network is made of."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor, nn

from fdplug import trees

# Attributes by which modules of diffusers and peft are switched on and off.
_SWITCHES = ("_active_adapter", "_disable_adapters", "merged_adapters", "enabled")


def outlined(arguments: Any) -> str:
    """Return arguments as text, of tensors the shape and the type, of masks that decide the cost the values."""
    return str(trees.map_tensors(lambda one: (tuple(one.shape), str(one.dtype), _values(one)), arguments))


def _values(outline: Tensor) -> list[Any]:
    return [] if outline.device.type == "meta" or outline.is_floating_point() else outline.tolist()


def made_of(network: nn.Module) -> str:
    """Return what decides the cost of a pass besides its arguments: modules, processors, adapters that are active."""
    digest = hashlib.sha256()
    for name, module in network.named_modules():
        held = vars(module)
        processor = held.get("processor")
        switches = [(key, repr(held[key])) for key in _SWITCHES if key in held]
        shapes = [tuple(one.shape) for one in held["_parameters"].values() if one is not None]
        digest.update(repr((name, str(type(module)), str(type(processor)), switches, shapes)).encode())
    return digest.hexdigest()
