"""Key-step policies: at which steps the part is computed; at the others it is replayed.

Steps are indices into `scheduler.timesteps`, 0 being the noisiest; the paper counts down from T, so its step `t` is
`T - t` here. The step with which a run begins is always computed, whether or not a policy names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from fdplug.hooks import hookimpl
from fdplug.policies.base import AdaptivePolicy, BlockPolicy, KeyStepPolicy
from fdplug.policies.early import Early
from fdplug.policies.fixed import All, Explicit, Uniform
from fdplug.policies.paper import (
    NonUniformFour,
    NonUniformOne,
    NonUniformThree,
    NonUniformTwo,
    Paper,
    UniformOne,
    UniformThree,
    UniformTwo,
)
from fdplug.policies.window import Window
from fdplug.schedule import Schedule, Step

__all__ = [
    "AdaptivePolicy",
    "All",
    "BlockPolicy",
    "Early",
    "Explicit",
    "KeyStepPolicy",
    "Paper",
    "Schedule",
    "Step",
    "Uniform",
    "Window",
]


@hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the built-in policies."""
    yield from (All, Explicit, Uniform, Early, Window, Paper)
    yield from (UniformOne, UniformTwo, UniformThree)
    yield from (NonUniformOne, NonUniformTwo, NonUniformThree, NonUniformFour)
