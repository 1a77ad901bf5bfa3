"""The method: the plain objects that one propagation works with."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError, warn
from fdplug.guidance import Full, Guidance
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.propagation.solver import solver_of
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from fdplug.caches import FeatureCache
    from fdplug.denoisers import DenoiserFamily, Part
    from fdplug.injectors import NoiseInjector
    from fdplug.policies import KeyStepPolicy
    from fdplug.propagation.span_budget import SpanBudget
    from fdplug.settings import Settings

FITTING = "a deterministic sampler of first order (ddim, euler, dpm-solver++1, flow-euler)"


FULL = Full()


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
    guidance: Guidance = FULL
    insists: bool = False  # on parallel decoding, which otherwise is given up where rows see each other
    made_for: tuple[int, str] | None = None  # the only number of steps it is for, and who says so

    def described(self) -> str:
        """Write down what must be alike in every process that shares a run: every setting, plugins with their options.

        The decoding is what the processes share, and the part is written down as what it holds.
        """
        names = [name for name in self.settings.fields() if name not in ("decoding", "part")]
        return repr(
            ([(name, _stamp(getattr(self.settings, name))) for name in names], self.part.name, self.part.modules)
        )

    def stateful(self) -> dict[str, Any]:
        """Return by kind those of its objects that keep something from step to step."""
        found: dict[str, Any] = {"cache": self.cache}
        if self.policy.stepwise:
            found["policy"] = self.policy
        if not isinstance(self.guidance, Full):
            found["guidance"] = self.guidance
        if self.decoding is not AT_ONCE:
            found["decoding"] = self.decoding
        return found

    def check_solver(self, scheduler: Any, eta: float = 0.0) -> None:
        """Refuse solvers that add noise, where the part is the whole denoiser but its head: no replayed step sees it.

        Args:
            scheduler: whose steps are taken.
            eta: the share of fresh noise that its steps are called with.

        Raises:
            PropagationError: it adds noise.
        """
        if self._forecasts(scheduler) and (eta or solver_of(scheduler).adds_noise):
            given = f" (eta {eta:g})" if eta else ""
            raise PropagationError(
                f"part '{self.part.name}' does not fit this sampler: {type(scheduler).__name__}{given} adds fresh "
                f"noise, which no replayed step sees; take {FITTING} or part 'encoder'"
            )

    def warn_of_order(self, scheduler: Any) -> None:
        """Warn of solvers that combine several predictions: they gain nothing from replayed ones."""
        if not self._forecasts(scheduler):
            return
        solver, name = solver_of(scheduler), type(scheduler).__name__
        if solver.untried:
            warn(
                f"whether {name} adds fresh noise or combines predictions is not known, as it takes no steps on its "
                f"own ({solver.untried}); with part '{self.part.name}' either would spoil the images: compare them, or "
                f"take {FITTING}"
            )
        if solver.combines:
            warn(
                f"{name} combines several predictions, and with part '{self.part.name}' those of replayed steps are no "
                f"new ones: expect worse images than from {FITTING}"
            )

    def _forecasts(self, scheduler: Any) -> bool:
        """Whether predictions as a whole are replayed to this scheduler."""
        return self.part.whole and self.policy.replays and hasattr(scheduler, "config")


def _stamp(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_stamp(one) for one in value]
    return _options(value) if isinstance(value, Stackable) else value


def _options(plugin: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return a plugin's name and those of its options that it keeps as plain values."""
    kept = [(name, getattr(plugin, name, None)) for name in inspect.signature(type(plugin)).parameters]
    simple = (bool, int, float, str, tuple)
    return plugin.name, [(name, value) for name, value in kept if isinstance(value, simple)]
