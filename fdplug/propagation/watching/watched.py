"""What is computed at replayed steps: whether its rows are independent, and whether it has changed since."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from types import MethodType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fdplug import trees
from fdplug.denoisers.base import is_compiled, plain
from fdplug.profiling.outline import processors_of
from fdplug.propagation.calls.given import version
from fdplug.propagation.watching.snapshot import (
    BATCH_NORM,
    FUNCTIONS,
    PLAIN,
    TORCH,
    Settings,
    Snapshot,
    but_weights,
    own_names,
)

if TYPE_CHECKING:
    from fdplug.denoisers import Part

# Packages whose modules, hooks and wrapped forwards treat every row of a batch by itself.
_ROW_WISE = {
    *("torch", "diffusers", "transformers", "peft", "accelerate", "fdplug"),
    *("bitsandbytes", "torchao", "optimum", "xformers", "tomesd", "fvcore", "builtins"),
}
_KEEPERS = {"DeepCache", "cache_dit", "para_attn"}  # packages that keep features from step to step themselves
_DROPOUT = nn.modules.dropout._DropoutNd


class Watched:
    """The modules of a denoiser, those outside of its part above all; good for as long as they are current.

    Attributes:
        inside: the modules of the part, whose features are replayed.
        is_compiled: whether `torch.compile` was called on the denoiser or on a module inside it.
    """

    def __init__(self, network: nn.Module, part: Part) -> None:
        self._network = plain(network)
        self._modules = trees.named_modules(self._network)
        self.is_compiled = self._network is not network or any(map(is_compiled, self._modules.values()))
        below = tuple(f"{name}." for name in part.modules)
        inside = {name for name in self._modules if name.startswith(below) or name in part.modules}
        self.inside = [one for name, one in self._modules.items() if name in inside]
        self._outside = {name: one for name, one in self._modules.items() if name not in inside}
        self._settings = Settings(list(self._outside.values()))
        self._around = Settings(list(self._modules.values()), but_weights)
        self._around.snapshot()
        self._around.forget()

    def is_current(self) -> bool:
        """Whether the denoiser still consists of these modules, with the same hooks, functions and options."""
        return self._around.is_as_forgotten()

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """All modules of the denoiser, by name."""
        return self._modules

    @functools.cached_property
    def couples_anywhere(self) -> bool:
        """Whether something may look across the rows of a batch, inside of the part or outside."""
        return self._coupling(self._modules) is not None

    def couples_rows(self) -> str | None:
        """Say what may look across the rows of a batch outside of the part; None where all is known to be row-wise.

        Diffusers' own attention processors are, but for perturbed-attention guidance, which cuts the batch into thirds.
        What others put around a module, or in place of one, may do anything; for the denoiser's own class its family
        speaks.
        """
        return self._coupling(self._outside) if self.couples_anywhere else None

    def _coupling(self, modules: Mapping[str, nn.Module]) -> str | None:
        unusual = [(name, one) for name, one in self._unusual if name in modules]
        return next(filter(None, starmap(self._couples, unusual)), None)

    @functools.cached_property
    def _unusual(self) -> list[tuple[str, nn.Module]]:
        return [(name, one) for name, one in self._modules.items() if not _is_plain(vars(one), type(one))]

    def _couples(self, name: str, module: nn.Module) -> str | None:
        held = vars(module)
        processor = held.get("processor", held["_modules"].get("processor"))
        kind = type(processor)
        if processor is not None and (not kind.__module__.startswith("diffusers.models.") or "PAG" in kind.__name__):
            return f"{kind.__module__}.{kind.__name__}"
        if processor is not None and (written := _replaced(kind, kind.__call__)):
            return f"{kind.__name__}, whose call is from {written}"
        place = name or type(module).__name__
        if module is not self._network and not _is_row_wise(type(module).__module__):
            return f"{type(module).__module__}.{type(module).__name__} at {place}"
        if written := _replaced(type(module), type(module).forward):
            return f"{type(module).__name__} at {place}, whose forward is from {written}"
        for what, around in _functions(held):
            if not _is_row_wise(_origin(around)):
                return f"the {what} of {place}, from {_origin(around)}"
        if isinstance(module, BATCH_NORM) and (module.training or module.running_mean is None):
            return f"the batch statistics of {place}"
        return f"the random numbers of {place}, which is in training" if _is_random(held, type(module)) else None

    def keeper(self) -> str | None:
        """Name what keeps features from step to step itself, as another cache does; None where nothing does."""
        for name, module in self._unusual:
            held = vars(module)
            origins = [type(module).__module__, *(_origin(around) for _, around in _functions(held))]
            package = next((one.partition(".")[0] for one in origins if one.partition(".")[0] in _KEEPERS), None)
            if package is not None:
                return f"{package}, at {name or type(module).__name__}"
            hooks = getattr(held.get("_diffusers_hook"), "hooks", {}).values()
            hook = next((type(one).__name__ for one in hooks if getattr(one, "_is_stateful", False)), None)
            if hook is not None:
                return f"diffusers' {hook}, at {name or type(module).__name__}"
        return None

    @property
    def processors(self) -> Counter[type]:
        """The classes of all attention processors, which a pipeline may exchange for the time of a run."""
        return processors_of(self._modules.values())

    def snapshot(self) -> Snapshot:
        """Return what the modules are set to: options, adapters and their strengths, processors, hooks, weights."""
        return self._settings.snapshot()

    def is_as(self, before: Snapshot) -> bool:
        """Whether they are set to what they were set to before."""
        now = self._settings.snapshot()
        return now is before or now.is_alike(before)

    def forget(self) -> None:
        """Hold on to nothing that they were set to."""
        self._settings.forget()


class Inside:
    """The attention processors inside of a part that are not diffusers' own, and what they hold."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        held = [vars(one).get("processor", one._modules.get("processor")) for one in modules]
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
    if depth == 0 or type(holder) in PLAIN:
        return holder if type(holder) in PLAIN else id(holder)
    if isinstance(holder, dict):
        return [(repr(key), _contents(one, depth - 1)) for key, one in holder.items()]
    if isinstance(holder, list | tuple | set):
        return [_contents(one, depth - 1) for one in holder]
    if isinstance(holder, nn.Module):
        held = {name: value for name, value in vars(holder).items() if name not in TORCH}
        return [(name, _contents(one, depth - 1)) for name, one in held.items()]
    state = getattr(holder, "__dict__", None)
    return id(holder) if state is None else (id(holder), _contents(state, depth))


def _is_row_wise(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _ROW_WISE or package.startswith("fdplug_")


@functools.lru_cache(maxsize=1024)
def _is_row_wise_class(kind: type, forward: Any) -> bool:
    known = _is_row_wise(kind.__module__) and not issubclass(kind, BATCH_NORM)
    return known and _replaced(kind, forward) is None


def _replaced(kind: type, method: Any) -> str | None:
    """Say where a method of a class was written, if somebody of whom nothing is known has put it there since."""
    written = _origin(method)
    return None if _is_row_wise(written) or written in {one.__module__ for one in kind.__mro__} else written


def _is_plain(held: dict[str, Any], kind: type) -> bool:
    """Whether a module is of a known package, has no attention processor, and holds no functions of its own."""
    if not _is_row_wise_class(kind, kind.forward) or _is_random(held, kind):
        return False
    if held["_forward_pre_hooks"] or held["_forward_hooks"]:
        return False
    if "processor" in held or "processor" in held["_modules"]:
        return False
    return FUNCTIONS.isdisjoint(map(type, map(held.__getitem__, own_names(held))))


def _is_random(held: dict[str, Any], kind: type) -> bool:
    """Whether a module draws random numbers, in an order that a batch of several steps would change."""
    return issubclass(kind, _DROPOUT) and held["training"] and held["p"] > 0


def _functions(held: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what runs around a module's own forward, or in the place of it or of another of its methods."""
    for hook in (*held["_forward_pre_hooks"].values(), *held["_forward_hooks"].values()):
        yield "hook", hook
    for name in own_names(held):
        if type(held[name]) in FUNCTIONS:
            yield name.lstrip("_"), held[name]


def _origin(function: Any) -> str:
    """Return the module in which a function was written, whatever it was wrapped to look like."""
    while isinstance(function, functools.partial | MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    written = getattr(function, "__globals__", None)
    return str(written.get("__name__", "?")) if written is not None else type(function).__module__
