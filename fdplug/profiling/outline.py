"""What decides the cost of a pass: the shapes of its arguments, and what its network is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from fdplug import trees

# Attributes by which modules of diffusers and peft are switched on and off.
_SWITCHES = {"_active_adapter", "_disable_adapters", "merged_adapters", "enabled"}


def outlined(arguments: Any) -> str:
    """Return arguments as text, of tensors the shape and the type, of masks that decide the cost the values."""
    return str(trees.map_tensors(lambda one: (tuple(one.shape), str(one.dtype), _values(one)), arguments))


def _values(outline: Tensor) -> list[Any]:
    return [] if outline.device.type == "meta" or outline.is_floating_point() else outline.tolist()


def made_of(network: nn.Module) -> tuple[Any, ...]:
    """Return what decides the cost of a pass besides its arguments: modules, weights, processors, active adapters.

    What `torch.compile` wraps around modules does not.
    """
    found = trees.named_modules(network)
    held = [(name, vars(one)) for name, one in found.items()]
    weights = [one for _, each in held if each["_parameters"] for one in each["_parameters"].values()]
    return (
        tuple((_plain(name), type(one)) for name, one in found.items() if "_orig_mod" not in one._modules),
        tuple((one.shape, one.dtype) for one in weights if one is not None),
        tuple((_plain(name), type(each["processor"])) for name, each in held if "processor" in each),
        tuple((_plain(name), *_switched(each)) for name, each in held if not _SWITCHES.isdisjoint(each)),
    )


def processors_of(modules: Iterable[nn.Module]) -> Counter[type]:
    """Return the classes of the attention processors of modules."""
    held = map(vars, modules)
    return Counter([type(one["processor"]) for one in held if "processor" in one])


def _plain(name: str) -> str:
    return name if "_orig_mod" not in name else ".".join(one for one in name.split(".") if one != "_orig_mod")


def _switched(held: dict[str, Any]) -> list[str]:
    return [f"{key}: {held[key]!r}" for key in sorted(_SWITCHES & held.keys())]
