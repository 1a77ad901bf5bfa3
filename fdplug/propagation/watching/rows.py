"""What may look across the rows of a batch: modules and attention processors of others, hooks, methods put in place."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator
from types import MethodType
from typing import Any, NamedTuple

from torch import nn

from fdplug import trees
from fdplug.denoisers.base import plain
from fdplug.propagation.watching.declared import is_declared
from fdplug.propagation.watching.snapshot import BATCH_NORM, FUNCTIONS, global_hooks, own_names

# Packages whose modules, hooks and wrapped forwards treat every row of a batch by itself.
_ROW_WISE = {
    *("torch", "diffusers", "transformers", "peft", "accelerate", "fdplug"),
    *("bitsandbytes", "torchao", "optimum", "xformers", "tomesd", "fvcore", "builtins"),
}
_WHOLE_BATCH = "torch.ao."  # observers and dynamic quantization, whose ranges are those of the whole batch
_DROPOUT = nn.modules.dropout._DropoutNd
Named = tuple[str, nn.Module]


class Known(NamedTuple):
    """What is known to be row-wise beside the packages that always are.

    Attributes:
        kind: the denoiser's class as its family knows it, which speaks for it and for nothing derived from it.
        package: a further package of modules.
        perturbing: attention processors of which it is known what they do to which rows.
    """

    kind: type
    package: str = ""
    perturbing: Collection[str] = ()


def across_rows(network: nn.Module, kind: type, perturbing: Collection[str] = ()) -> str | None:
    """Say what may look across the rows of a batch anywhere in a network; None where all is known to be row-wise.

    Modules of the package that the network's known class comes from are known: its family speaks for them.

    Args:
        network: the network.
        kind: its class, as its family knows it.
        perturbing: names of the attention processors of which it is known what they do to which rows.
    """
    network = plain(network)
    known = Known(kind, _package(kind.__module__), perturbing)
    return first_across(unusual(trees.named_modules(network).items()), network, known)


def first_across(modules: Iterable[Named], network: nn.Module, known: Known) -> str | None:
    """Say which of these modules of a network may look across the rows of a batch, and how; None where none may.

    Diffusers' own attention processors do not, but for perturbed-attention guidance, which cuts the batch into thirds.
    What others put around a module, in place of one, or derive from the denoiser's class, may do anything.

    Args:
        modules: the modules, and their names in the network.
        network: the denoiser.
        known: what else is known to be row-wise.
    """
    everywhere = next((origin(hook) for hook in global_hooks() if not _is_row_wise(origin(hook))), None)
    if everywhere is not None:
        return f"a hook that torch runs around every module, from {everywhere}"
    return next(filter(None, (_across(name, one, network, known) for name, one in modules)), None)


def _across(name: str, module: nn.Module, network: nn.Module, known: Known) -> str | None:
    held, written = vars(module), type(module).__module__
    processor = held.get("processor", held["_modules"].get("processor"))
    place = name or type(module).__name__
    if processor is not None and (who := _across_in(type(processor), known)):
        return who
    if module is network:
        if (derived := _derived(type(module), known.kind)) is not None:
            return f"{derived.__module__}.{derived.__name__}, derived from {known.kind.__name__}"
    elif not (is_declared(type(module)) or _is_row_wise(written) or _package(written) == known.package):
        return f"{written}.{type(module).__name__} at {place}"
    if other := _replaced(type(module), type(module).forward):
        return f"{type(module).__name__} at {place}, whose forward is from {other}"
    for what, around in functions(held):
        if not _is_row_wise(origin(around)):
            return f"the {what} of {place}, from {origin(around)}"
    if isinstance(module, BATCH_NORM) and (module.training or module.running_mean is None):
        return f"the batch statistics of {place}"
    if _is_learning(held, type(module)):
        return f"what {place} learns at every pass, as it is in training"
    return f"the random numbers of {place}, which is in training" if _is_random(held, type(module)) else None


def _derived(kind: type, known: type) -> type | None:
    """Return the class of others that a denoiser's class has before the one that is known; None where there is none."""
    before = itertools.takewhile(lambda one: one is not known, kind.__mro__)
    return next((one for one in before if not (is_declared(one) or _is_row_wise(one.__module__))), None)


def _across_in(processor: type, known: Known) -> str | None:
    if is_declared(processor):
        return None
    perturbs = "PAG" in processor.__name__ and processor.__name__ not in known.perturbing
    if not processor.__module__.startswith("diffusers.models.") or perturbs:
        return f"{processor.__module__}.{processor.__name__}"
    written = _replaced(processor, processor.__call__)
    return f"{processor.__name__}, whose call is from {written}" if written else None


def unusual(modules: Iterable[Named]) -> list[Named]:
    """Return those modules that are not plainly of a known package, with nothing put around or into them."""
    return [(name, one) for name, one in modules if not _is_plain(vars(one), type(one))]


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_row_wise(module: str) -> bool:
    package = _package(module)
    return not module.startswith(_WHOLE_BATCH) and (package in _ROW_WISE or package.startswith("fdplug_"))


@functools.lru_cache(maxsize=1024)
def _is_row_wise_class(kind: type, forward: Any) -> bool:
    known = is_declared(kind) or _is_row_wise(kind.__module__)
    return known and not issubclass(kind, BATCH_NORM) and _replaced(kind, forward) is None


def _replaced(kind: type, method: Any) -> str | None:
    """Say where a method of a class was written, if somebody of whom nothing is known has put it there since."""
    written = origin(method)
    return None if _is_row_wise(written) or written in {one.__module__ for one in kind.__mro__} else written


def _is_plain(held: dict[str, Any], kind: type) -> bool:
    """Whether a module is of a known package, has no attention processor, and holds no functions of its own."""
    if not _is_row_wise_class(kind, kind.forward) or _is_random(held, kind) or _is_learning(held, kind):
        return False
    if held["_forward_pre_hooks"] or held["_forward_hooks"]:
        return False
    if "processor" in held or "processor" in held["_modules"]:
        return False
    return FUNCTIONS.isdisjoint(map(type, map(held.__getitem__, own_names(held))))


def _is_random(held: dict[str, Any], kind: type) -> bool:
    """Whether a module draws random numbers, in an order that a batch of several steps would change."""
    return issubclass(kind, _DROPOUT) and held["training"] and held["p"] > 0


def _is_learning(held: dict[str, Any], kind: type) -> bool:
    """Whether a module of torch's own changes what it keeps at every pass, as spectral norms do, however many rows."""
    return bool(held["_buffers"]) and held.get("training", False) and _package(kind.__module__) == "torch"


def functions(held: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what runs around a module's own forward, or in the place of it or of another of its methods."""
    for hook in (*held["_forward_pre_hooks"].values(), *held["_forward_hooks"].values()):
        yield "hook", hook
    for name in own_names(held):
        if type(held[name]) in FUNCTIONS:
            yield name.lstrip("_"), held[name]


def origin(function: Any) -> str:
    """Return the module in which a function was written, whatever it was wrapped to look like."""
    while isinstance(function, functools.partial | MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    if is_declared(function) or is_declared(type(function)):
        return __name__
    written = getattr(function, "__globals__", None)
    return str(written.get("__name__", "?")) if written is not None else type(function).__module__
