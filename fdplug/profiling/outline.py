"""What decides the cost of a pass: the shapes of its arguments, and what its network is made of."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fdplug import trees

# Attributes by which modules of diffusers and peft are switched on and off; the weights are merged along with the last.
_parameters, _shape, _dtype = map(operator.attrgetter, ("_parameters", "shape", "dtype"))
SWITCHES = ("_active_adapter", "_disable_adapters", "enabled", "merged_adapters")


def outlined(arguments: Any) -> str:
    """Return arguments as text, of tensors the shape and the type, of masks that decide the cost the values."""
    return str(trees.map_tensors(lambda one: (tuple(one.shape), str(one.dtype), _values(one)), arguments))


def _values(outline: Tensor) -> list[Any]:
    return [] if outline.device.type == "meta" or outline.is_floating_point() else outline.tolist()


def made_of(network: nn.Module, found: Mapping[str, nn.Module] | None = None) -> tuple[Any, ...]:
    """Return what decides the cost of a pass besides its arguments: modules, weights, processors, active adapters.

    What `torch.compile` wraps around modules does not.

    Args:
        network: the network.
        found: its modules by name; None: they are looked for.
    """
    found = trees.named_modules(network) if found is None else found
    kept = {_plain(name): one for name, one in found.items() if "_orig_mod" not in one._modules}
    parameters = [one for one in map(_parameters, found.values()) if one]
    weights = [one for each in parameters for one in each.values() if one is not None]
    special = [(name, one) for name, one in found.items() if not is_of_torch(type(one))]
    held = [(name, vars(one)) for name, one in special]
    return (
        tuple(kept),
        tuple(map(type, kept.values())),
        tuple(map(_shape, weights)),
        tuple(map(_dtype, weights)),
        tuple((_plain(name), type(each["processor"])) for name, each in held if "processor" in each),
        tuple((_plain(name), key, _state(one, key)) for name, one in special for key in switches(one)),
    )


@functools.lru_cache(maxsize=1024)
def is_of_torch(kind: type) -> bool:
    """Whether a class of modules is torch's own: these have no attention processor, and nothing switches them."""
    return kind.__module__.startswith("torch.nn.modules.")


def processors_of(modules: Iterable[nn.Module]) -> Counter[type]:
    """Return the classes of the attention processors of modules."""
    held = [vars(one) for one in modules if not is_of_torch(type(one))]
    return Counter([type(one["processor"]) for one in held if "processor" in one])


def switches(module: nn.Module) -> list[str]:
    """Return the names of the attributes by which a module is switched on and off.

    An IP-Adapter of strength 0 is left out of attention.
    """
    held = vars(module)
    found = [key for key in SWITCHES if key in held]
    return [*found, "scale"] if "scale" in held and "IPAdapter" in type(module).__name__ else found


def _state(module: nn.Module, key: str) -> Any:
    value = vars(module)[key]
    return _on(value) if key == "scale" else _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _on(strength: Any) -> Any:
    return tuple(map(_on, strength)) if isinstance(strength, list | tuple) else bool(strength != 0)


def _thawed(value: Any) -> Any:
    """Return lists for tuples; any strength will do for one that is on."""
    return list(map(_thawed, value)) if isinstance(value, tuple) else value


@contextmanager
def switched_as(network: nn.Module, made: tuple[Any, ...]) -> Iterator[bool]:
    """Switch adapters and other modules on and off as they were, for a while.

    Args:
        network: the network.
        made: what it was made of.

    Yields:
        Whether it is made of that again: nothing is switched where that would not do.
    """
    now = made_of(network)
    found = trees.named_modules(network)
    held = {_plain(name): vars(one) for name, one in found.items()}
    turned = [switch for switch in made[-1] if switch not in now[-1]]
    if now[:-1] != made[:-1] or any(key == "merged_adapters" for _, key, _ in turned):
        yield False
        return
    before = [(held[name], key, held[name][key]) for name, key, _ in turned]
    try:
        for name, key, value in turned:
            held[name][key] = _thawed(value)
        yield True
    finally:
        for place, key, value in before:
            place[key] = value


def _plain(name: str) -> str:
    return name if "_orig_mod" not in name else ".".join(one for one in name.split(".") if one != "_orig_mod")
