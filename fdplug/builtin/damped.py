"""A forecast damped span by span, its shares written down: what a preset holds in place of a tuned file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fdplug.builtin.span_forecast import SpanForecast
from fdplug.caches import FeatureCache
from fdplug.checks import number, whole
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.hooks import hookimpl

MOST = 10.0


class Damped(SpanForecast):
    """Features forecast from the last two key steps, behind every key step by a share of its own.

    Share 0 reuses, share 1 takes the linear forecast in noise time. Behind a key step that is not listed features are
    reused. `fdplug optimize` finds the shares, together with the steps of policy `explicit`.

    Args:
        steps: key steps, as indices from 0.
        shares: one for each of them.
    """

    name = "damped"

    def __init__(self, steps: Sequence[int], shares: Sequence[float]) -> None:
        for name, given in (("steps", steps), ("shares", shares)):
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise ConfigError(f"{name} must be a list of numbers, got {shown(given)}")
        if len(steps) != len(shares):
            raise ConfigError(f"{len(steps)} steps and {len(shares)} shares: give a share for every key step")
        keys = [whole("a key step", step, 0) for step in steps]
        super().__init__(dict(zip(keys, (number("a share", share, 0, MOST) for share in shares), strict=True)))

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return the shares at the key steps that policy `explicit` moves to; of two that meet, the later one's."""
        moved = {step * wanted // steps: share for step, share in zip(options["steps"], options["shares"], strict=True)}
        return {"steps": list(moved), "shares": list(moved.values())}


@hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the cache."""
    yield Damped
