"""What the curves of the embedded models compare: samplers at falling step counts, and propagation.

`best` takes each sampler with the timesteps that suit it best, `own` with those that the model's own scheduler has
(`leading`), which it inherits where nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fdplug.checks import check_choice
from fdplug.config import PropagationConfig
from fdplug.predict.comparison.variant import Variant
from fdplug.shapes import FLOW

BEST, OWN = "best", "own"
_PAPER = PropagationConfig(policy="paper", injector="none")
TRAILING, LEADING, KARRAS = {"spacing": "trailing"}, {"spacing": "leading"}, {"karras": True}


def _own() -> Iterator[Variant]:
    for steps in (50, 25, 15, 9, 6, 4):
        yield Variant(name=f"DDIM-{steps}", sampler="ddim", steps=steps)
    for steps in (20, 10, 7):
        yield Variant(name=f"DPM-Solver++-{steps}", sampler="dpm-solver++", steps=steps)
    yield from _propagations()


def _best() -> Iterator[Variant]:
    yield Variant(name="DDIM-50", sampler="ddim", steps=50)
    yield from _placed("DDIM", "ddim", "trailing", TRAILING, (16, 10, 6))
    yield from _placed("Euler", "euler", "Karras", KARRAS, (16, 10, 6))
    yield from _placed("DPM-Solver++", "dpm-solver++", "Karras", KARRAS, (16, 10))
    yield from _placed("DDPM", "ddpm", "trailing", TRAILING, (50, 25, 10))
    yield from _placed("DDPM", "ddpm", "leading", LEADING, (25,))
    yield Variant(name="DDIM-50, paper's 9 keys", sampler="ddim", steps=50, propagation=_PAPER)


def _placed(
    title: str, sampler: str, label: str, options: Mapping[str, Any], counts: Sequence[int]
) -> Iterator[Variant]:
    for steps in counts:
        yield Variant(name=f"{title}-{steps}, {label}", sampler={sampler: dict(options)}, steps=steps)


def _propagations() -> Iterator[Variant]:
    policies = {
        "paper's 9 keys": "paper",
        "9 uniform keys": {"uniform": {"count": 9}},
        "17 uniform keys": {"uniform": {"count": 17}},
    }
    for keys, policy in policies.items():
        for noise, injector in ((", prior noise", "prior"), ("", "none")):
            propagation = PropagationConfig(policy=policy, injector=injector)
            yield Variant(name=f"DDIM-50, {keys}{noise}", sampler="ddim", steps=50, propagation=propagation)


def _flow() -> Iterator[Variant]:
    for steps in (28, 20, 14, 10, 8, 6, 4):
        yield Variant(name=f"Euler-{steps}", sampler="flow-euler", steps=steps)
    for steps in (14, 8, 6):
        yield Variant(name=f"DPM-Solver++-{steps}", sampler="flow-dpm++", steps=steps)
    rows: dict[str, dict[str, Any]] = {
        "encoder at every second": {"policy": {"uniform": {"interval": 2}}},
        "trunk at 10 early ones": {"part": "trunk", "policy": {"early": {"count": 10}}},
    }
    for label, settings in rows.items():
        propagation = PropagationConfig(injector="none", **settings)
        yield Variant(name=f"Euler-28, {label}", sampler="flow-euler", steps=28, propagation=propagation)


METHODS: dict[str, tuple[Variant, ...]] = {BEST: tuple(_best()), OWN: tuple(_own()), FLOW: tuple(_flow())}
"""The sets; each begins with the baseline of its deterministic methods."""


def usual(model: str) -> str:
    """The set that is run where none is named."""
    return FLOW if model == FLOW else BEST


def chosen(which: str, names: Sequence[str] | None) -> list[Variant]:
    """The methods of a set in their usual order, the baseline first; if names are given, only those.

    Raises:
        ConfigError: a name is unknown.
    """
    whole = METHODS[which]
    for name in names or ():
        check_choice("method", name, [method.name for method in whole])
    return [one for one in whole if names is None or one in (whole[0], *_stochastic(whole)[:1]) or one.name in names]


def baseline(method: Variant, methods: Sequence[Variant]) -> str:
    """The name of what a method is compared with: the first of the methods, or the longest run with fresh noise."""
    return (_stochastic(methods) if method in _stochastic(methods) else list(methods))[0].name


def _stochastic(methods: Sequence[Variant]) -> list[Variant]:
    """Those that add fresh noise at each step, longest first: their pictures are not those of other samplers."""
    return sorted((one for one in methods if one.sampler_name == "ddpm"), key=lambda one: -one.resolved_steps)
