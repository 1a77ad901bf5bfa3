"""Which modules are computed at which steps of one run, as the policy has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.errors import PropagationError
from fdplug.policies import BlockPolicy, KeyStepPolicy
from fdplug.propagation.run import some

if TYPE_CHECKING:
    from fdplug.denoisers import Part
    from fdplug.schedule import Schedule


ByModule = dict[str, frozenset[int]]


def key_steps(policy: KeyStepPolicy, part: Part, schedule: Schedule) -> tuple[frozenset[int], ByModule]:
    """Ask the policy for its key steps and, where each module has its own, for those."""
    keys, by_module = policy.key_steps(schedule), ByModule()
    if isinstance(policy, BlockPolicy):
        by_module = _by_module(policy, schedule, part)
        keys = keys.union(*by_module.values())
    outside = sorted(keys - set(range(schedule.num_steps)))
    if outside:
        raise PropagationError(
            f"policy '{policy.name}' asks for key steps {some(outside)}, but this run has {schedule.num_steps} steps, "
            f"0 to {schedule.num_steps - 1}; choose key steps inside it"
        )
    return keys, by_module


def _by_module(policy: BlockPolicy, schedule: Schedule, part: Part) -> ByModule:
    """Key steps of every module: chained ones have those of the module at the end of their chain."""
    named = policy.block_key_steps(schedule, tuple(name for name in part.modules if name not in part.chained))
    found = ByModule()
    keys: frozenset[int] = frozenset()
    for name in reversed(part.modules):
        found[name] = keys = keys if name in part.chained else named.get(name, frozenset())
    return found
