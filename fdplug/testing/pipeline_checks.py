"""Checks of what a plugin makes of a whole pipeline: families, parts, and whatever `propagate` takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fdplug.denoisers import DenoiserFamily, Part
from fdplug.lookup import find_families, find_family, find_part
from fdplug.parts import PartRule
from fdplug.pipeline import propagate
from fdplug.testing.checks import attributes, check_class, registered
from fdplug.testing.components import latents, tiny_pipeline

Build = Callable[[], Any]
Draw = Callable[[Any], Tensor]


def check_family(family: DenoiserFamily, build: Build, draw: Draw | None = None) -> None:
    """The family knows its denoiser, its arguments and its modules, and every part propagates as it should.

    Args:
        family: the family to check.
        build: returns a pipeline, with random weights and small, whose denoiser belongs to the family.
        draw: runs a pipeline from a fixed seed for some steps and returns a tensor; None: as text-to-image.
    """
    check_class("family", family)
    pipe = build()
    network = getattr(pipe, family.component)
    assert family.matches(network), f"{type(network).__name__} is none of {', '.join(family.models)}"
    assert not family.matches(nn.Identity()), "matches() must refuse other classes"
    _check_arguments(family, network)
    parts = list(family.parts(network))
    assert parts, "parts() yields nothing"
    assert len({part.name for part in parts}) == len(parts), "two parts have one name"
    with registered("family", type(family)):
        chosen = find_families(pipe)[0][0].name
        assert chosen == family.name, f"family '{chosen}' claims {type(network).__name__} first"
        for part in parts:
            check_modules(part, network)
            check_propagation(build(), draw, part=part.name)


def check_part(rule: PartRule, build: Build | None = None, draw: Draw | None = None) -> None:
    """The rule's modules are there, none inside another, and the part propagates as it should."""
    check_class("part", rule)
    pipe = (build or tiny_pipeline)()
    family, network = find_family(pipe)
    part = find_part(rule, family, network)[0]
    assert part.name == rule.name, f"the part of '{rule.name}' is named '{part.name}'"
    check_modules(part, network)
    check_propagation(pipe, draw, part=rule)


def check_modules(part: Part, network: nn.Module) -> None:
    """Every module of the part exists, none lies inside another, and chained ones are among them."""
    known = {name for name, _ in network.named_modules()}
    for name in part.modules:
        assert name in known, f"part '{part.name}' names {name}, which {type(network).__name__} does not have"
        inside = [other for other in part.modules if name.startswith(f"{other}.")]
        assert not inside, f"part '{part.name}' names {name}, which lies inside {inside}"
    assert part.chained <= set(part.modules), f"part '{part.name}' chains modules that it does not have"


def _check_arguments(family: DenoiserFamily, network: nn.Module) -> None:
    """Names may be shared by several classes; one class need not know them all."""
    known = inspect.signature(network.forward).parameters
    for names in ([family.sample], [family.timestep], family.conditioning, family.batch_arguments):
        found = not names or any(name in known for name in names)
        assert found, f"{type(network).__name__}.forward has no argument {' or '.join(names)}"


def check_propagation(pipe: Any, draw: Draw | None = None, **settings: Any) -> None:
    """All key steps: the pipeline as it is. Serial and parallel decoding agree. Repeating and undoing are exact.

    Args:
        pipe: a small pipeline.
        draw: as in `check_family`.
        settings: what `propagate` takes: a part, a cache, a guidance, transforms; where no policy is among it, every
            second step is a key step.
    """
    draw = draw or latents
    plain, before = draw(pipe), attributes(pipe)
    if not settings.get("transforms"):
        exact: dict[str, Any] = {**settings, "policy": "all", "injector": "none", "guidance": "full"}
        with propagate(pipe, **exact):
            assert torch.equal(draw(pipe), plain), "with every step a key step the result must not change at all"
    settings.setdefault("policy", {"uniform": {"interval": 2}})
    with propagate(pipe, **settings, decoding="serial") as handle:
        serial = draw(pipe)
        assert handle.ledger.steps, "the denoiser was never called"
        assert torch.equal(draw(pipe), serial), "the same run again must give the same result: state has leaked"
    with propagate(pipe, **settings) as handle:
        assert _near(draw(pipe), serial), "parallel and serial decoding must agree"
    assert attributes(pipe) == before, "undo must leave no attribute behind"
    assert torch.equal(draw(pipe), plain), "undo must restore the result bit for bit"


def _near(one: Tensor, other: Tensor) -> bool:
    return float((one - other).norm()) <= 1e-3 * float(other.norm())
