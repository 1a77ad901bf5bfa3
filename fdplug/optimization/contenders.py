"""Who is judged beside the bar and the best of the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from fdplug.optimization.bar import Bar
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.goal import Goal, is_lossless
from fdplug.optimization.judging import BAR, BEST, FASTEST, LATE, LOSSLESS, PACED
from fdplug.optimization.measuring.workbench import CandidateError, TimeUp, Workbench
from fdplug.optimization.proposing.recipe import Extras, Recipe, Recipes
from fdplug.optimization.search import Champion

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


SPARE = (1.25, 1.5, 2.0)
"""So many times the work is judged where the least that keeps a floor on calibration prompts fails on held-out ones."""


class Contenders:
    """Finds further rows for the verdict, as far as there is time.

    Args:
        bench: runs candidates.
        recipes: makes them.
        goal: what is looked for.
        captions: calibration captions.
    """

    def __init__(self, bench: Workbench, recipes: Recipes, goal: Goal, captions: Sequence[Caption]) -> None:
        self._bench, self._recipes, self._goal, self._captions = bench, recipes, goal, captions

    def changed(self, champion: Champion | None, bar: Bar, barred: Sequence[Candidate]) -> list[Candidate]:
        """Return fewer steps with the transforms of the best of the search: those help fewer steps as well."""
        transforms = (champion.candidate.propagation or {}).get("transforms") if champion else None
        if not transforms or not barred:
            return []
        recipe = self._recipes.stock(barred[0].sampler, Extras(transforms=tuple(transforms)))
        try:
            steps = recipe.largest(self._goal.fits) if self._goal.budget.is_ceiling else bar.fewest(recipe)
        except TimeUp:
            return []
        return [] if steps is None else [recipe.make(steps)]

    def companions(self, champion: Champion | None, barred: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """Return, by role, the best that takes no longer than the bar, the cheapest as good as it, and without loss."""
        found: dict[str, list[Candidate]] = {}
        with suppress(TimeUp):
            if champion is not None and barred:
                paced = self._paced(champion, barred[0])
                if paced is not None:
                    found[PACED] = [paced]
                floor = self._bench.outcome(barred[0], self._captions).mean(self._goal.maximize)
                count = champion.recipe.fewest(lambda one: self._value(one) >= floor, champion.count)
                if count is not None and count < champion.count:
                    found[FASTEST] = [champion.recipe.make(count)]
            lossless = self._cheapest_lossless(champion, barred)
            if lossless is not None:
                found[LOSSLESS] = [lossless]
        return found

    def spare(self, champion: Champion | None, barred: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """Return the best of the search, and the best of fewer steps, with more work; nothing is run for it."""
        found: dict[str, list[Candidate]] = {}
        if champion is not None:
            found[BEST] = self._with_more(champion.recipe, champion.count)
        if barred and barred[0].propagation is None:
            found[BAR] = self._with_more(self._recipes.stock(barred[0].sampler), barred[0].steps)
        return found

    def _with_more(self, recipe: Recipe, count: int) -> list[Candidate]:
        counts = sorted({math.ceil(count * times) for times in SPARE} & {*recipe.counts} - {count})
        return [recipe.make(one) for one in counts if recipe.cost(one).seconds < self._goal.reference.seconds]

    def _paced(self, champion: Champion, bar: Candidate) -> Candidate | None:
        """Return the best of the search with less work, where it takes longer than the bar by the clock."""
        own, other = (self._bench.outcome(one, self._captions).pace for one in (champion.candidate, bar))
        if own <= LATE * other:
            return None
        limit = champion.recipe.cost(champion.count).seconds * other / own
        count = champion.recipe.largest(lambda price: price.seconds <= limit)
        return None if count is None else champion.recipe.make(count)

    def _cheapest_lossless(self, champion: Champion | None, barred: Sequence[Candidate]) -> Candidate | None:
        offered = [self._recipes.stock(one.sampler) for one in barred[:2]] + ([champion.recipe] if champion else [])
        cheapest: list[tuple[float, Candidate]] = []
        for recipe in offered:
            count = recipe.fewest(self._is_lossless)
            if count is not None and recipe.cost(count).seconds < self._goal.reference.seconds:
                cheapest.append((recipe.cost(count).seconds, recipe.make(count)))
        return min(cheapest, key=lambda one: one[0])[1] if cheapest else None

    def _value(self, candidate: Candidate) -> float:
        try:
            return self._bench.outcome(candidate, self._captions).mean(self._goal.maximize)
        except CandidateError:
            return float("-inf")

    def _is_lossless(self, candidate: Candidate) -> bool:
        try:
            found = self._bench.outcome(candidate, self._captions)
        except CandidateError:
            return False
        return is_lossless(found, self._bench.outcome(self._bench.reference, self._captions))
