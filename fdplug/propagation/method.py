"""The method: the plain objects that one propagation works with, and how many steps it decodes at once."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.policies import All
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.propagation.span_budget import SpanBudget

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.caches import FeatureCache
    from fdplug.denoisers import DenoiserFamily, Part
    from fdplug.injectors import NoiseInjector
    from fdplug.policies import KeyStepPolicy


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

    @property
    def replays(self) -> bool:
        """Whether any step can be a replayed one."""
        return not isinstance(self.policy, All)

    def described(self) -> str:
        """Write down what must be alike in every process that shares a run: the plugins with their options."""
        plugins = [_options(one) for one in (self.policy, self.cache, self.injector)]
        return repr((plugins, self.part.name, self.part.modules, self.max_span_batch))

    def share(self, steps: int, sample: Tensor, begins: bool) -> int:
        """Return how many of `steps` steps to decode at once: all, or the first of equal shares that are small enough.

        Where span lengths depend on measured memory, the first call of a run is the one that is measured. It answers
        one step in every run, so that each gives the same images.
        """
        limit = self.max_span_batch
        if limit is None:
            return steps
        if isinstance(limit, SpanBudget) and begins:
            return 1
        rows = limit.rows(sample) if isinstance(limit, SpanBudget) else limit
        most = max(1, rows * self.decoding.ranks // sample.shape[0])
        return -(-steps // -(-steps // most))

    def measuring(self, sample: Tensor, steps: int) -> AbstractContextManager[None]:
        """Return the context of a call of the denoiser; it measures memory if that is not known and needed."""
        budget = self.max_span_batch
        if steps > 1 or not self.parallel or not isinstance(budget, SpanBudget) or budget.knows(sample):
            return nullcontext()
        return budget.measuring(sample)


def _options(plugin: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return a plugin's name and those of its options that it keeps as plain values."""
    kept = [(name, getattr(plugin, name, None)) for name in inspect.signature(type(plugin)).parameters]
    simple = (bool, int, float, str, tuple)
    return plugin.name, [(name, value) for name, value in kept if isinstance(value, simple)]
