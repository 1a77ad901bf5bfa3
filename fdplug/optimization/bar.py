"""The bar: the best that fewer steps can do, with every solver and every choice of timesteps that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fdplug.optimization.candidate import Candidate
from fdplug.optimization.goal import Goal
from fdplug.optimization.measuring.workbench import CandidateError, TimeUp, Workbench
from fdplug.optimization.proposing.recipe import Recipe, Recipes

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

KEPT = 3
"""One in so many goes on to twice the captions."""
FINALISTS = 4
Told = Callable[[int, int], None]


class Bar:
    """Races samplers against each other: all on two captions, the better third on twice as many, and so on.

    Args:
        bench: runs candidates.
        recipes: makes them.
        goal: what is looked for.
        captions: calibration captions.
        told: called with (candidates done, candidates in all) of a heat.
    """

    def __init__(
        self,
        bench: Workbench,
        recipes: Recipes,
        goal: Goal,
        captions: Sequence[Caption],
        told: Told = lambda done, total: None,
    ) -> None:
        self._bench, self._recipes, self._goal = bench, recipes, goal
        self._captions, self._told = captions, told

    def best(self, samplers: Sequence[Any]) -> list[Candidate]:
        """Return the best rows that keep the budget, the best first; a few, none if there are none."""
        if self._goal.budget.is_ceiling:
            return self.within(samplers, self._goal.fits)
        return self._cheapest(samplers)

    def within(self, samplers: Sequence[Any], fits: Callable[[Any], bool]) -> list[Candidate]:
        """Return the finalists among samplers with the most steps whose price fits, the best first."""
        entered: dict[str, Candidate] = {}
        for sampler in samplers:
            recipe = self._recipes.stock(sampler)
            steps = recipe.largest(fits)
            if steps is not None:
                candidate = recipe.make(steps)
                entered[candidate.key] = candidate
        return self._raced(list(entered.values()))

    def _raced(self, entered: list[Candidate]) -> list[Candidate]:
        """Return the finalists, the best first: of the last heat that there was time for."""
        count = min(2, len(self._captions))
        ranked: list[Candidate] = []
        while True:
            found, whole = self._heat(entered, self._captions[:count])
            ranked = found if whole or not ranked else ranked
            if count == len(self._captions) or not whole:
                return ranked[:FINALISTS]
            entered = ranked[: max(FINALISTS, len(ranked) // KEPT)]
            count = min(2 * count, len(self._captions))

    def _heat(self, entered: Sequence[Candidate], captions: Sequence[Caption]) -> tuple[list[Candidate], bool]:
        """Return those that could be run, the best first, and whether there was time for all."""
        found: list[tuple[float, int, Candidate]] = []
        whole = True
        for place, candidate in enumerate(entered):
            try:
                value = self._bench.outcome(candidate, captions).mean(self._goal.maximize)
                found.append((-value, place, candidate))
            except CandidateError:
                pass  # its reason is kept, and told at the end
            except TimeUp:  # a cheaper one may still be in time
                whole = False
            self._told(place + 1, len(entered))
        return [candidate for _, _, candidate in sorted(found, key=lambda one: one[:2])], whole

    def _cheapest(self, samplers: Sequence[Any]) -> list[Candidate]:
        """Return the cheapest rows that keep the floor: the fewest steps of those that are best at half the cost."""
        half = self._goal.reference.gflops / 2
        found: list[tuple[float, int, Candidate]] = []
        for place, finalist in enumerate(self.within(samplers, lambda price: price.gflops <= half)):
            recipe = self._recipes.stock(finalist.sampler)
            try:
                steps = self.fewest(recipe, finalist.steps) or self.fewest(recipe)
            except TimeUp:  # the verdict will tell whether it keeps the floor
                steps = finalist.steps
            if steps is not None:
                found.append((recipe.cost(steps).seconds, place, recipe.make(steps)))
        return [candidate for _, _, candidate in sorted(found, key=lambda one: one[:2])][:2]

    def fewest(self, recipe: Recipe, most: int | None = None) -> int | None:
        """Return the least amount of a recipe that keeps the floor on the calibration captions."""
        return recipe.fewest(self._holds, most)

    def _holds(self, candidate: Candidate) -> bool:
        reference = self._bench.outcome(self._bench.reference, self._captions)
        try:
            return self._goal.holds(self._bench.outcome(candidate, self._captions), reference)
        except CandidateError:
            return False
