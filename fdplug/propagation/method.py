"""The method: the plain objects that one propagation works with."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.samplers import is_stochastic, solver_order
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from fdplug.caches import FeatureCache
    from fdplug.denoisers import DenoiserFamily, Part
    from fdplug.injectors import NoiseInjector
    from fdplug.policies import KeyStepPolicy
    from fdplug.propagation.span_budget import SpanBudget
    from fdplug.settings import Settings


@dataclass(frozen=True)
class Method:
    """The plain objects that the loop works with, and the settings that they were built from."""

    settings: Settings
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
        """Write down what must be alike in every process that shares a run: every setting, plugins with their options.

        The decoding is what the processes share, and the part is written down as what it holds.
        """
        names = [name for name in self.settings.fields() if name not in ("decoding", "part")]
        return repr(
            ([(name, _stamp(getattr(self.settings, name))) for name in names], self.part.name, self.part.modules)
        )

    def check_solver(self, scheduler: Any, eta: float = 0.0) -> None:
        """Refuse solvers that cannot do with forecast predictions, where the part is the whole denoiser but its head.

        Args:
            scheduler: whose steps are taken.
            eta: the share of fresh noise that its steps are called with.

        Raises:
            PropagationError: it combines the predictions of several steps, or adds noise that no replayed step sees.
        """
        if not self.part.whole or not self.policy.replays or not hasattr(scheduler, "config"):
            return
        name, order = type(scheduler).__name__, solver_order(scheduler)
        reason = f"{name} combines {order} predictions, and those at replayed steps are forecasts" if order > 1 else ""
        if is_stochastic(scheduler) or eta:
            reason = f"{name} adds fresh noise, which no replayed step sees" + (f" (eta {eta:g})" if eta else "")
        if reason:
            raise PropagationError(
                f"part '{self.part.name}' does not fit this sampler: {reason}; take a deterministic one of first order "
                "(ddim, euler, dpm-solver++1, flow-euler) or part 'encoder'"
            )


def _stamp(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_stamp(one) for one in value]
    return _options(value) if isinstance(value, Stackable) else value


def _options(plugin: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return a plugin's name and those of its options that it keeps as plain values."""
    kept = [(name, getattr(plugin, name, None)) for name in inspect.signature(type(plugin)).parameters]
    simple = (bool, int, float, str, tuple)
    return plugin.name, [(name, value) for name, value in kept if isinstance(value, simple)]
