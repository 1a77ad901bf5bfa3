"""What the curve of `shapes` compares: samplers at falling step counts, and propagation at 50 DDIM steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from fdplug.shapes.generate import use_sampler

BASELINE = "DDIM-50"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to generate pictures.

    Attributes:
        name: how tables call it.
        sampler: a name of `fdplug.shapes.generate.SAMPLERS`.
        steps: denoising steps.
        policy: key steps of encoder propagation; None computes every step, without propagation.
        injector: what `fdplug.propagate` injects.
    """

    name: str
    sampler: str
    steps: int
    policy: Any = None
    injector: str = "none"

    @property
    def slug(self) -> str:
        """File stem of its pictures."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())

    def applied(self, pipe: Any) -> Any:
        """Give `pipe` the sampler and return a context in which propagation, if any, is on."""
        use_sampler(pipe, self.sampler)
        if self.policy is None:
            return nullcontext()
        import fdplug

        return fdplug.propagate(pipe, policy=self.policy, injector=self.injector)


def _few_steps() -> tuple[Method, ...]:
    ddim = (Method(name=f"DDIM-{steps}", sampler="ddim", steps=steps) for steps in (50, 25, 15, 9, 6, 4))
    dpm = (Method(name=f"DPM-Solver++-{steps}", sampler="dpm-solver++", steps=steps) for steps in (20, 10, 7))
    return (*ddim, *dpm)


def _propagations() -> tuple[Method, ...]:
    policies = {"paper's 9 keys": "paper", "9 uniform keys": {"uniform": {"count": 9}}}
    policies["17 uniform keys"] = {"uniform": {"count": 17}}
    return tuple(
        Method(name=f"DDIM-50, {keys}{noise}", sampler="ddim", steps=50, policy=policy, injector=injector)
        for keys, policy in policies.items()
        for noise, injector in ((", prior noise", "prior"), ("", "none"))
    )


FEW_STEPS = _few_steps()
PROPAGATIONS = _propagations()
METHODS = (*FEW_STEPS, *PROPAGATIONS)


def chosen(names: Sequence[str] | None) -> tuple[Method, ...]:
    """The methods of these names in their usual order, the baseline first; all of them if no name is given.

    Raises:
        ValueError: if a name is unknown.
    """
    known = {method.name for method in METHODS}
    for name in names or ():
        if name not in known:
            raise ValueError(f"method {name!r} is unknown; choose from {', '.join(sorted(known))}")
    return tuple(one for one in METHODS if names is None or one.name in (BASELINE, *names))
