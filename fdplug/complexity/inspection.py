"""What fdplug makes of a model that it has only read the configuration of: family, parts, their share of the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from fdplug import registry
from fdplug.complexity.inputs import example
from fdplug.complexity.models import Found, find_model
from fdplug.complexity.proposal import Proposal, propose
from fdplug.complexity.transformer_inputs import LATENT
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.denoisers.guidance_rows import GuidanceRows
from fdplug.errors import FdplugError, PropagationError
from fdplug.errors.wording import one_line
from fdplug.profiling.meta_flops import meta_flops


@dataclass(frozen=True)
class PartShare:
    """A part of the denoiser, and what of it a replayed step saves.

    Attributes:
        name: how a user asks for it.
        modules: how many it holds.
        first: the first of them.
        last: the last of them.
        kept: how many hand on features that are kept.
        at_once: whether a span can be decoded in one batch.
        parameters: its share of the parameters.
        gflops: its share of the GFLOPs; None where they could not be counted.
    """

    name: str
    modules: int
    first: str
    last: str
    kept: int
    at_once: bool
    parameters: float
    gflops: float | None


@dataclass(frozen=True)
class Inspection:
    """What there is to know about a model before its weights are loaded.

    Attributes:
        model: what was asked for.
        pipeline: class of the pipeline, empty where only a denoiser was found.
        component: the pipeline's attribute that holds the denoiser.
        denoiser: its class.
        parameters: their number.
        family: the family that knows it, empty if none does.
        guidance: in what order rows of guidance come, empty where the family does not say.
        one_by_one: why a span cannot be decoded in one batch, empty where it can.
        gflops: of one forward pass of one row; None where they could not be counted.
        uncounted: why not.
        sample: the shape of the noisy sample of that pass, its row left out.
        parts: the family's parts.
        rules: parts that plugins add, by name; empty where one fits, and else why it does not.
        proposal: what a family could say where none knows the class.
    """

    model: str
    pipeline: str
    component: str
    denoiser: str
    parameters: int
    family: str = ""
    guidance: str = ""
    one_by_one: str = ""
    gflops: float | None = None
    uncounted: str = ""
    sample: tuple[int, ...] = ()
    parts: tuple[PartShare, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    proposal: Proposal | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for json."""
        return asdict(self)


def inspect_model(model: str, size: int | None = None) -> Inspection:
    """Build a model's denoiser on the meta device and say what fits it.

    Args:
        model: a class of diffusers, the name of a configuration inside the package, `shapes`, a `config.json`, a
            pipeline's folder, or a hub id; only configurations are read.
        size: height and width of the denoiser's sample; the model's own if None.

    Raises:
        PipelineError: there is no such model.
        UnsupportedDenoiserError: no family knows its class, and none can be proposed.
    """
    found = find_model(model)
    family = family_of(found.network)
    if family is None:
        return _inspection(model, found, proposal=propose(found.network))
    flops, sample, why = _counted(found.network, family.sample, size)
    return _inspection(
        model,
        found,
        component=family.component,
        family=family.name,
        guidance=_guidance(family.guidance),
        one_by_one=family.one_by_one(found.network),
        gflops=flops[""] / 1e9 if flops else None,
        uncounted=why,
        sample=sample,
        parts=tuple(_share(found.network, part, flops) for part in family.parts(found.network)),
        rules=_rules(family, found.network),
    )


def _guidance(rows: GuidanceRows | None) -> str:
    if rows is None:
        return ""
    return f"{', '.join(rows.order)}: {'a call each' if rows.separate else 'rows of one call'}"


def family_of(network: nn.Module) -> DenoiserFamily | None:
    """Return the family that knows a denoiser, or None."""
    families: Iterable[DenoiserFamily] = (entry.cls() for entry in registry.entries("family").values())
    return next((family for family in families if family.matches(network)), None)


def _inspection(model: str, found: Found, **known: Any) -> Inspection:
    facts: dict[str, Any] = {"component": found.component, **known}
    name, parameters = type(found.network).__name__, _parameters(found.network)
    return Inspection(model=model, pipeline=found.pipeline, denoiser=name, parameters=parameters, **facts)


def _counted(network: nn.Module, sample: str, size: int | None) -> tuple[Mapping[str, int], tuple[int, ...], str]:
    """Return FLOPs by module of one row and the shape of its sample, or nothing and the reason."""
    try:
        given = example(network, 1, size or _usual(network))
        return meta_flops(network, given), tuple(given[sample].shape[1:]), ""
    except Exception as error:  # what a forward pass without values raises is anything
        reason = (
            one_line(error) if isinstance(error, FdplugError) else f"{type(error).__name__}: {one_line(error, 120)}"
        )
        return {}, (), reason


def _usual(network: nn.Module) -> int | None:
    """Return a size where the configuration states none and people make pictures of 1024 x 1024."""
    return LATENT if type(network).__name__ == "FluxTransformer2DModel" else None


def _share(network: nn.Module, part: Part, flops: Mapping[str, int]) -> PartShare:
    held = sum(_parameters(network.get_submodule(name)) for name in part.modules)
    return PartShare(
        name=part.name,
        modules=len(part.modules),
        first=part.modules[0],
        last=part.modules[-1],
        kept=len(part.modules) - len(part.chained),
        at_once=part.sample_free,
        parameters=held / _parameters(network),
        gflops=sum(flops[name] for name in part.modules) / flops[""] if flops else None,
    )


def _rules(family: DenoiserFamily, network: nn.Module) -> dict[str, str]:
    """Return for every part that a plugin adds why it does not fit, or nothing."""
    found = {}
    for name in registry.entries("part"):
        try:
            registry.build("part", name).part(family, network)
            found[name] = ""
        except (PropagationError, FdplugError) as error:
            found[name] = one_line(error)
    return found


def _parameters(module: nn.Module) -> int:
    with torch.no_grad():
        return sum(one.numel() for one in module.parameters())
