"""A recipe: settings with one amount of work left open, which a budget decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.cuts import settings_of
from fdplug.optimization.measuring.price import Price, Prices, part_key, spans_of
from fdplug.optimization.space import calls
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from fdplug.optimization.cuts import Curve


@dataclass(frozen=True)
class Recipe:
    """Settings but for an amount of work: a number of steps, or of key steps.

    Attributes:
        counts: the amounts there are, the least first; more costs more.
        make: returns the candidate of an amount.
        cost: returns its price.
    """

    counts: range
    make: Callable[[int], Candidate]
    cost: Callable[[int], Price]

    def largest(self, fits: Callable[[Price], bool]) -> int | None:
        """Return the largest amount whose price fits; None if not even the least does."""
        if not self.counts or not fits(self.cost(self.counts[0])):
            return None
        low, high = 0, len(self.counts)  # `low` fits, `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(self.cost(self.counts[middle])) else (low, middle)
        return self.counts[low]

    def fewest(self, holds: Callable[[Candidate], bool], most: int | None = None) -> int | None:
        """Return the least amount, up to `most`, that holds; None if `most` does not. More is taken to be better."""
        counts = self.counts if most is None else range(self.counts.start, most + 1)
        if not counts or not holds(self.make(counts[-1])):
            return None
        low, high = -1, len(counts) - 1  # `high` holds, `low` does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(self.make(counts[middle])) else (middle, high)
        return counts[high]


class Recipes:
    """Makes recipes for one pipeline.

    Args:
        scheduler: the pipeline's own.
        prices: what everything costs.
        most: the most steps there are.
    """

    def __init__(self, scheduler: Any, prices: Prices, most: int) -> None:
        self._scheduler, self.prices, self._most = scheduler, prices, most
        self._calls: dict[tuple[str, int], int] = {}

    def stock(self, sampler: Any) -> Recipe:
        """Return a sampler with its number of steps left open."""
        return Recipe(
            range(1, self._most + 1),
            lambda steps: Candidate(sampler, steps),
            lambda steps: self.prices.plain(self.calls(sampler, steps)),
        )

    def calls(self, sampler: Any, steps: int) -> int:
        """Return the denoiser calls of a run."""
        name = repr(sampler), steps
        if name not in self._calls:
            self._calls[name] = calls(self._scheduler, sampler, steps)
        return self._calls[name]

    def cut(
        self, parent: Candidate, curve: Curve, part: Any, injector: Any, trust: tuple[float, float] = (1.0, 1.0)
    ) -> Recipe:
        """Return tuned key steps of a parent, their number left open."""
        return Recipe(
            range(1, len(curve)),
            lambda count: Candidate(parent.sampler, parent.steps, settings_of(curve, count, part, injector, trust)),
            lambda count: self.prices.cut(part, spans_of([int(key) for key in curve[count - 1][0]], len(curve))),
        )

    def by_policy(
        self, parent: Candidate, part: Any, policy: tuple[str, Mapping[str, Any]], cache: Any, injector: Any
    ) -> Recipe:
        """Return a policy on a parent; an option of it that is a `range` is left open.

        Args:
            parent: sampler and steps.
            part: what is computed at key steps only.
            policy: its name and options.
            cache: spec of the cache.
            injector: spec of the injector.
        """
        name, given = policy
        opened = next((key for key, value in given.items() if isinstance(value, range)), None)

        def spec(count: int) -> Any:
            options = {key: count if key == opened else value for key, value in given.items()}
            return {name: options} if options else name

        def made(count: int) -> Candidate:
            settings = {"policy": spec(count), "cache": cache, "part": part, "injector": injector}
            return Candidate(parent.sampler, parent.steps, settings)

        return Recipe(given[opened] if opened else range(1, 2), made, lambda count: self.price(made(count)))

    def price(self, candidate: Candidate) -> Price:
        """Return the price of any candidate whose policy chooses before the run."""
        steps, given = self.calls(candidate.sampler, candidate.steps), candidate.propagation
        if given is None:
            return self.prices.plain(steps)
        schedule = Schedule(tuple(1000.0 * (1 - step / steps) for step in range(steps)))
        keys = registry.build("policy", given["policy"]).key_steps(schedule)
        return self.prices.cut(given["part"], spans_of(keys, steps))

    def has_price(self, part: Any) -> bool:
        """Whether a part could be timed."""
        return part_key(part) in self.prices.replays
