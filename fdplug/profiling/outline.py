"""What decides the cost of a pass: the shapes of its arguments, and what its network is made of."""

from __future__ import annotations

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
    modules = network.named_modules()
    return tuple((_plain(name), *_made_of(vars(one), type(one))) for name, one in modules if not _is_wrapper(one))


def _is_wrapper(module: nn.Module) -> bool:
    return "_orig_mod" in module._modules


def _plain(name: str) -> str:
    return name if "_orig_mod" not in name else ".".join(one for one in name.split(".") if one != "_orig_mod")


def _made_of(held: dict[str, Any], kind: type) -> tuple[Any, ...]:
    switches = [] if _SWITCHES.isdisjoint(held) else [(key, repr(held[key])) for key in sorted(_SWITCHES & held.keys())]
    weights = [(one.shape, one.dtype) for one in held["_parameters"].values() if one is not None]
    return kind, type(held.get("processor")), *switches, *weights
