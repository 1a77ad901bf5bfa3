"""A recipe: settings with one amount of work left open, which a budget decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.price import Price, Prices, Work, key_of
from fdplug.optimization.measuring.pricing import EVERY_STEP
from fdplug.optimization.measuring.workbench import TimeUp
from fdplug.optimization.proposing.cuts import settings_of
from fdplug.optimization.proposing.space import timesteps
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from fdplug.optimization.proposing.cuts import Curve


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
        """Return the least amount, up to `most`, that holds; None if `most` does not. More is taken to be better.

        Where the time is up in between, it is the least of which that is known.

        Raises:
            TimeUp: there is no time even for the most.
        """
        counts = self.counts if most is None else range(self.counts.start, most + 1)
        if not counts or not holds(self.make(counts[-1])):
            return None
        low, high = -1, len(counts) - 1  # `high` holds, `low` does not
        while high - low > 1:
            middle = (low + high) // 2
            try:
                low, high = (low, middle) if holds(self.make(counts[middle])) else (middle, high)
            except TimeUp:
                break
        return counts[high]


@dataclass(frozen=True)
class Extras:
    """What a run does besides replaying: rows of guidance that are left out, and other changes.

    Attributes:
        guidance: spec; None runs all rows.
        transforms: specs.
    """

    guidance: Any = None
    transforms: tuple[Any, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the settings of `propagate`."""
        guidance = {} if self.guidance is None else {"guidance": self.guidance}
        return guidance | ({"transforms": list(self.transforms)} if self.transforms else {})


NOTHING = Extras()
Share = Callable[[Any, Candidate], float]
"""Measures which share of the steps a guidance that decides as the run goes on leaves full."""


class Recipes:
    """Makes recipes for one pipeline.

    Args:
        scheduler: the pipeline's own.
        prices: what everything costs.
        most: the most steps there are.
        share: of a guidance that decides as the run goes on, and settings without it.
        taken: share of its steps that a run takes.
    """

    def __init__(
        self,
        scheduler: Any,
        prices: Prices,
        most: int,
        share: Share = lambda guidance, candidate: 1.0,
        taken: float = 1.0,
    ) -> None:
        self._taken = taken
        self._scheduler, self.prices, self._most, self._share = scheduler, prices, most, share
        self._timesteps: dict[tuple[str, int], tuple[float, ...]] = {}

    def stock(self, sampler: Any, extras: Extras = NOTHING) -> Recipe:
        """Return a sampler with its number of steps left open."""
        settings = None if extras == NOTHING else {**EVERY_STEP, **extras.settings()}
        return self._recipe(range(1, self._most + 1), lambda steps: Candidate(sampler, steps, settings))

    def _times(self, sampler: Any, steps: int) -> tuple[float, ...]:
        name = repr(sampler), steps
        if name not in self._timesteps:
            self._timesteps[name] = timesteps(self._scheduler, sampler, steps)
        return self._timesteps[name]

    def cut(
        self,
        parent: Candidate,
        curve: Curve,
        part: Any,
        injector: Any,
        trust: tuple[float, float] = (1.0, 1.0),
        extras: Extras = NOTHING,
    ) -> Recipe:
        """Return tuned key steps of a parent, their number left open."""

        def made(count: int) -> Candidate:
            settings = settings_of(curve, count, part, injector, trust)
            return Candidate(parent.sampler, parent.steps, {**settings, **self._further(part, extras)})

        return self._recipe(range(1, len(curve)), made)

    def by_policy(
        self,
        parent: Candidate,
        part: Any,
        policy: tuple[str, Mapping[str, Any]],
        cache: Any,
        injector: Any,
        extras: Extras = NOTHING,
    ) -> Recipe:
        """Return a policy on a parent; an option of it that is a `range` is left open.

        Args:
            parent: sampler and steps.
            part: what is computed at key steps only.
            policy: its name and options.
            cache: spec of the cache.
            injector: spec of the injector.
            extras: what else is changed.
        """
        name, given = policy
        opened = next((key for key, value in given.items() if isinstance(value, range)), None)

        def spec(count: int) -> Any:
            options = {key: count if key == opened else value for key, value in given.items()}
            return {name: options} if options else name

        def made(count: int) -> Candidate:
            settings = {"policy": spec(count), "cache": cache, "part": part, "injector": injector}
            return Candidate(parent.sampler, parent.steps, {**settings, **self._further(part, extras)})

        return self._recipe(given[opened] if opened else range(1, 2), made)

    def _recipe(self, counts: range, made: Callable[[int], Candidate]) -> Recipe:
        return Recipe(counts, made, lambda count: self.price(made(count)))

    def _further(self, part: Any, extras: Extras) -> dict[str, Any]:
        return {**self.prices.replays[key_of(part)].decoding, **extras.settings()}

    def price(self, candidate: Candidate) -> Price:
        """Return the price of any candidate whose policy chooses before the run."""
        times, given = self._times(candidate.sampler, candidate.steps), candidate.propagation
        schedule = Schedule(times, start=len(times) - max(1, int(round(len(times) * self._taken, 6))))
        steps = len(times) - schedule.start
        if given is None:
            return self.prices.plain(steps)
        full = self._full(candidate, schedule)
        work = Work(steps=steps, full=full, transforms=given.get("transforms", ()))
        if "part" in given:
            chosen = registry.build("policy", given["policy"]).key_steps(schedule)
            keys = {0, *(key - schedule.start for key in chosen if key > schedule.start)}
            work = replace(work, part=given["part"], keys=keys if full is None else keys | returning(keys, full, steps))
        return self.prices.priced(work)

    def _full(self, candidate: Candidate, schedule: Schedule) -> Collection[int] | None:
        """Return the steps with all rows of guidance; None: all."""
        guidance = (candidate.propagation or {}).get("guidance")
        if guidance is None:
            return None
        built = registry.build("guidance", guidance)
        if built.stepwise:
            return range(math.ceil(self._share(guidance, candidate) * (schedule.end - schedule.start)))
        built.begin(schedule)
        return {step - schedule.start for step in built.full_steps(schedule)}

    def has_price(self, part: Any) -> bool:
        """Whether a part could be timed."""
        return key_of(part) in self.prices.replays


def returning(keys: Collection[int], full: Collection[int], steps: int) -> set[int]:
    """Return the steps at which rows of guidance run again whose features are too old: those are key steps, too."""
    found, complete = set(), False
    for step in range(steps):
        if step in full and not complete:
            found.add(step)
        if step == 0 or step in keys or step in found:
            complete = step in full
    return found
