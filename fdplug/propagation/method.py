"""The method: the plain objects that one propagation works with."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.propagation.decoding import AT_ONCE, Decoding

if TYPE_CHECKING:
    from fdplug.caches import FeatureCache
    from fdplug.denoisers import DenoiserFamily, Part
    from fdplug.injectors import NoiseInjector
    from fdplug.policies import KeyStepPolicy
    from fdplug.propagation.span_budget import SpanBudget


@dataclass(frozen=True)
class Method:
    """The plain objects that the loop works with."""

    family: DenoiserFamily
    part: Part
    policy: KeyStepPolicy
    cache: FeatureCache
    injector: NoiseInjector
    parallel: bool
    max_span_batch: int | SpanBudget | None = None
    decoding: Decoding = AT_ONCE
    insists: bool = False  # on parallel decoding, which otherwise is given up where rows see each other

    def described(self) -> str:
        """Write down what must be alike in every process that shares a run: the plugins with their options."""
        plugins = [_options(one) for one in (self.policy, self.cache, self.injector)]
        return repr((plugins, self.part.name, self.part.modules, self.max_span_batch))


def _options(plugin: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return a plugin's name and those of its options that it keeps as plain values."""
    kept = [(name, getattr(plugin, name, None)) for name in inspect.signature(type(plugin)).parameters]
    simple = (bool, int, float, str, tuple)
    return plugin.name, [(name, value) for name, value in kept if isinstance(value, simple)]
