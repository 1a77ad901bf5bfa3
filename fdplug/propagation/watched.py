"""What is computed at replayed steps: whether its rows are independent, and whether it has changed since."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fdplug.denoisers.base import plain
from fdplug.propagation.calls.given import version

if TYPE_CHECKING:
    from fdplug.denoisers import Part

# Modules of torch's own without options that somebody would change in the middle of a run.
_SIMPLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm, nn.SiLU, nn.GELU, nn.Dropout)
_TORCH = frozenset(vars(nn.Module())) - {"training"}
_PLAIN = (bool, int, float, str, type(None))
# Packages whose modules, hooks and wrapped forwards treat every row of a batch by itself.
_ROW_WISE = {
    *("torch", "diffusers", "transformers", "peft", "accelerate", "fdplug"),
    *("bitsandbytes", "torchao", "optimum", "xformers", "tomesd", "DeepCache", "fvcore"),
}


class Watched:
    """The modules of a denoiser outside of its part."""

    def __init__(self, network: nn.Module, part: Part) -> None:
        self._network = network = plain(network)
        inside = {id(one) for name in part.modules for one in network.get_submodule(name).modules()}
        self._names = {id(one): name for name, one in network.named_modules()}
        self._outside = [one for one in network.modules() if id(one) not in inside]
        self._modules = [one for one in self._outside if type(one) not in _SIMPLE]
        # Accelerate puts weights in and out again, as other objects, around every call of a module that it offloads.
        still = [one for one in self._outside if "_hf_hook" not in vars(one)]
        self._weights = [one._parameters for one in still if one._parameters]

    def couples_rows(self) -> str | None:
        """Say what may look across the rows of a batch; None where all is known to be row-wise.

        Diffusers' own attention processors are, but for perturbed-attention guidance, which cuts the batch into thirds.
        What others put around a module, or in place of one, may do anything; for the denoiser's own class its family
        speaks.
        """
        return next(filter(None, map(self._couples, self._outside)), None)

    def _couples(self, module: nn.Module) -> str | None:
        held = vars(module)
        processor = held.get("processor", held["_modules"].get("processor"))
        kind = type(processor)
        if processor is not None and (not kind.__module__.startswith("diffusers.models.") or "PAG" in kind.__name__):
            return f"{kind.__module__}.{kind.__name__}"
        place = self._names[id(module)] or type(module).__name__
        if module is not self._network and not _is_row_wise(type(module).__module__):
            return f"{type(module).__module__}.{type(module).__name__} at {place}"
        for what, around in _wrapped(held):
            if not _is_row_wise(_origin(around)):
                return f"the {what} of {place}, from {_origin(around)}"
        return None

    def stamp(self) -> tuple[Any, ...]:
        """Return what the modules are set to, cheaply: options, adapters and their strengths, processors, weights."""
        weights = [one for held in self._weights for one in held.values() if one is not None]
        return (tuple(map(_stamp, self._modules)), list(map(id, weights)), list(map(version, weights)))


class Inside:
    """The attention processors inside of a part that are not diffusers' own, and what they hold."""

    def __init__(self, network: nn.Module, part: Part) -> None:
        network = plain(network)
        modules = [one for name in part.modules for one in network.get_submodule(name).modules()]
        held = [vars(one).get("processor", vars(one)["_modules"].get("processor")) for one in modules]
        own = [one for one in held if one is not None and not type(one).__module__.startswith("diffusers.models.")]
        self._state = [(one, _contents(one)) for one in own]

    def keeper(self) -> str | None:
        """Name a processor that holds something else than before the first pass; look only once."""
        state, self._state = self._state, []
        for one, contents in state:
            if _contents(one) != contents:
                return f"attention processor {type(one).__module__}.{type(one).__name__}"
        return None


def _contents(holder: Any, depth: int = 4) -> Any:
    """Return what an object holds, down to a few levels, without looking at the values of tensors."""
    if isinstance(holder, Tensor):
        return id(holder), version(holder)
    if depth == 0 or type(holder) in _PLAIN:
        return holder if type(holder) in _PLAIN else id(holder)
    if isinstance(holder, dict):
        return [(repr(key), _contents(one, depth - 1)) for key, one in holder.items()]
    if isinstance(holder, list | tuple | set):
        return [_contents(one, depth - 1) for one in holder]
    if isinstance(holder, nn.Module):
        held = {name: value for name, value in vars(holder).items() if name not in _TORCH}
        return [(name, _contents(one, depth - 1)) for name, one in held.items()]
    state = getattr(holder, "__dict__", None)
    return id(holder) if state is None else (id(holder), _contents(state, depth))


def _is_row_wise(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _ROW_WISE or package.startswith("fdplug_")


def _wrapped(held: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what runs around a module's own forward, or in its place."""
    for hook in (*held["_forward_pre_hooks"].values(), *held["_forward_hooks"].values()):
        yield "hook", hook
    if "forward" in held:
        yield "forward", held["forward"]


def _origin(function: Any) -> str:
    """Return the module in which a function was written, whatever it was wrapped to look like."""
    while isinstance(function, functools.partial | MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    written = getattr(function, "__globals__", None)
    return str(written.get("__name__", "?")) if written is not None else type(function).__module__


def _stamp(holder: Any) -> tuple[Any, ...]:
    held = vars(holder)
    own = tuple(_value(name, value) for name, value in held.items() if name not in _TORCH)
    return own if not isinstance(holder, nn.Module) else (*own, *map(id, held["_modules"].values()))


def _value(name: str, value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return name, value
    if kind is dict:
        return name, tuple((key, _value("", one)) for key, one in value.items())
    if kind in (list, tuple):
        return name, tuple(_value("", one) for one in value)
    if isinstance(value, Tensor):
        return name, id(value), version(value)
    if name == "processor" and hasattr(value, "__dict__"):
        return name, id(value), _stamp(value)
    return name, id(value)
