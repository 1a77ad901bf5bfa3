"""What the plugins know: the family of a pipeline's denoiser, the part that a spec names, the numbers of scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.denoisers.transformer_table import REFUSED
from fdplug.errors import ConfigError, PluginClashError, PluginError, PropagationError, UnsupportedDenoiserError
from fdplug.parts import PartRule
from fdplug.scores import Number

if TYPE_CHECKING:
    from torch import nn


def find_family(pipe: Any) -> tuple[DenoiserFamily, Any]:
    """Return the family that knows the pipeline's denoiser, and the denoiser.

    Raises:
        UnsupportedDenoiserError: none does, and the message names the classes that are supported; or it has two.
    """
    (family, network), *others = find_families(pipe)
    if others:
        raise UnsupportedDenoiserError(
            f"{type(pipe).__name__} has two denoisers, {family.component} and {others[0][0].component}, each for some "
            "of the steps, and this works on one; fdplug.propagate() accelerates both"
        )
    return family, network


def find_families(pipe: Any) -> tuple[tuple[DenoiserFamily, Any], ...]:
    """Return the pipeline's denoisers, each behind its family, in the order in which a run goes through them.

    Raises:
        UnsupportedDenoiserError: no family knows the first; or there is a second that the family does not know of.
    """
    for family in _families():
        network = getattr(pipe, family.component, None)
        if network is not None and family.matches(network):
            return ((family, network), *_second(pipe, family))
    raise UnsupportedDenoiserError(_unsupported(pipe))


def _families() -> Iterator[DenoiserFamily]:
    return (entry.cls() for entry in registry.entries("family").values())


def find_denoiser(pipe: Any) -> nn.Module | None:
    """Return the pipeline's denoiser, the first if a run goes through two, or None if no family knows it."""
    return next(iter(find_denoisers(pipe)), None)


def find_denoisers(pipe: Any) -> tuple[nn.Module, ...]:
    """Return the pipeline's denoisers, in the order in which a run goes through them; none if no family knows them."""
    try:
        return tuple(network for _, network in find_families(pipe))
    except UnsupportedDenoiserError:
        return ()


def _second(pipe: Any, family: DenoiserFamily) -> Iterator[tuple[DenoiserFamily, Any]]:
    """Yield the denoiser that a run goes over to, as that of Wan 2.2 A14B does."""
    name = f"{family.component}_2"
    network = getattr(pipe, name, None)
    if network is None:
        return
    if family.successor != name or not family.matches(network):
        raise UnsupportedDenoiserError(
            f"{type(pipe).__name__} has two denoisers, {family.component} and {name}, and family '{family.name}' does "
            "not know how a run goes from one to the other: register a family with a `successor`"
        )
    yield family.succeeded(), network


def _unsupported(pipe: Any) -> str:
    found = [getattr(pipe, name, None) for name in ("unet", "transformer", "prior")]
    denoiser = next((type(one).__name__ for one in found if one is not None), None)
    what = f"denoiser {denoiser}" if denoiser else f"{type(pipe).__name__}, which has no unet or transformer"
    if denoiser in REFUSED:
        return f"cannot accelerate {what}: {REFUSED[denoiser]}; run the pipeline without fdplug"
    known = sorted(model for entry in registry.entries("family").values() for model in entry.cls.models)
    return (
        f"cannot accelerate {what}; supported are {', '.join(known)}. "
        "To add a class, register a denoiser family with the hook fdplug_denoiser_families"
    )


def find_part(
    spec: str | Mapping[str, Any] | PartRule, family: DenoiserFamily, denoiser: nn.Module
) -> tuple[Part, PartRule | None]:
    """Return the part that `spec` names, and the rule that made it; None for a part of the family's own.

    Raises:
        ConfigError: neither the family nor a plugin knows the name or the option.
        PluginClashError: both do.
        PropagationError: the part holds no module of this denoiser.
    """
    if not isinstance(spec, PartRule):
        name, options = registry.parse("part", spec)
        if not _is_added(name, family, denoiser):
            return family.part(denoiser, name, options), None
    rule = registry.build("part", spec)
    return _checked(rule, rule.part(family, denoiser), denoiser), rule


def _is_added(name: str, family: DenoiserFamily, denoiser: nn.Module) -> bool:
    """Whether a plugin's part is meant, not one of the family's own."""
    own, added = [part.name for part in family.parts(denoiser)], registry.entries("part")
    if name in own and name in added:
        raise PluginClashError(
            f"part '{name}' is family '{family.name}''s own and also {added[name].path} of {added[name].provider}; "
            f"leave the plugin out, as with FDPLUG_BLOCK={added[name].plugin}"
        )
    if added and name not in own and name not in added:
        known = f"it has {', '.join(own)}; plugins add {', '.join(added)}"
        raise ConfigError(f"no part '{name}' in family '{family.name}'; {known}")
    return name in added


def _checked(rule: PartRule, part: Part, denoiser: nn.Module) -> Part:
    known = {name for name, _ in denoiser.named_modules()}
    if not part.modules:
        raise PropagationError(f"part '{rule.name}' of {type(denoiser).__name__} holds no module")
    missing = [name for name in part.modules if name not in known]
    if missing:
        raise PluginError(f"part '{rule.name}' names {missing[0]}, which {type(denoiser).__name__} does not have")
    return part


def encoder_part(network: nn.Module) -> Part:
    """Return the default encoder of a denoiser, as its family says.

    Raises:
        UnsupportedDenoiserError: no family knows it.
    """
    for family in _families():
        if family.matches(network):
            return family.part(network, "encoder")
    raise UnsupportedDenoiserError(_unsupported(SimpleNamespace(unet=network)))


def score_numbers(without: str | None = None) -> dict[str, Number]:
    """Return the numbers of all installed scores by their keys: titles, directions and digits stand nowhere else.

    Args:
        without: leave out the scores that need this: `captions`, `reference` or `baseline`.
    """
    classes = [entry.cls for entry in registry.entries("score").values() if without not in entry.cls.needs]
    found: dict[str, Number] = {}
    for number in (number for one in classes for number in one.numbers):
        found.setdefault(number.key, number)
    return found
