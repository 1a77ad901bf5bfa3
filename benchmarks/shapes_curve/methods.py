"""What the curve of `shapes` compares: samplers at falling step counts, and propagation at 50 DDIM steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fdplug.checks import check_choice
from fdplug.config import PropagationConfig
from fdplug.predict.comparison.variant import Variant

BASELINE = "DDIM-50"


def _few_steps() -> Iterator[Variant]:
    for steps in (50, 25, 15, 9, 6, 4):
        yield Variant(name=f"DDIM-{steps}", sampler="ddim", steps=steps)
    for steps in (20, 10, 7):
        yield Variant(name=f"DPM-Solver++-{steps}", sampler="dpm-solver++", steps=steps)


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


METHODS = (*_few_steps(), *_propagations())


def chosen(names: Sequence[str] | None) -> list[Variant]:
    """The methods of these names in their usual order, the baseline first; all of them if no name is given.

    Raises:
        ConfigError: if a name is unknown.
    """
    for name in names or ():
        check_choice("method", name, [method.name for method in METHODS])
    return [one for one in METHODS if names is None or one.name in (BASELINE, *names)]
