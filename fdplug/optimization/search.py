"""The search: Optuna proposes settings, prices decide how much work they get, only what may win is run to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.errors import FdplugError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.goal import Goal
from fdplug.optimization.measuring.workbench import TimeUp, Workbench
from fdplug.optimization.proposing.proposals import Known, Proposals
from fdplug.optimization.proposing.recipe import Recipe
from fdplug.optimization.proposing.study import open_study, using
from fdplug.pipeline import propagate

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

NEAR = 0.7
"""A candidate without an amount to choose is run if it costs at least this share of the budget."""


@dataclass(frozen=True)
class Champion:
    """The best candidate so far.

    Attributes:
        candidate: it.
        recipe: what it was made from.
        count: its amount of work.
        value: what the search makes as large as possible: quality, or minus the seconds.
    """

    candidate: Candidate
    recipe: Recipe
    count: int
    value: float


class Search:
    """Looks for the best candidate of a goal.

    Args:
        bench: runs candidates.
        proposals: makes recipes of what is proposed.
        goal: what is looked for.
        captions: calibration captions.
        seed: of the proposals.

    Attributes:
        champion: the best so far.
        tried: proposals so far, those of earlier starts included.
    """

    def __init__(
        self,
        bench: Workbench,
        proposals: Proposals,
        goal: Goal,
        captions: Sequence[Caption],
        seed: int = 0,
    ) -> None:
        self._bench, self._proposals, self._goal, self._captions = bench, proposals, goal, captions
        self._study = open_study(bench.records.folder, f"{goal.budget.text} {goal.maximize} {proposals.stamp}")
        self._seed = seed
        self.champion: Champion | None = None
        with using(bench.records.folder):
            self._again()
            for start in proposals.starts():
                self._study.enqueue_trial(start, skip_if_exists=True)

    @property
    def tried(self) -> int:
        """Proposals so far, those of earlier starts included."""
        return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in self._study.get_trials(deepcopy=False))

    def run(self, trials: int, told: Callable[[], None]) -> None:
        """Try until there were so many proposals, or no time is left for the next one, which a later start takes up."""
        with using(self._bench.records.folder):
            while self._proposals and self.tried < trials:
                trial = self._ask()
                try:
                    value = self._value(trial)
                except TimeUp:
                    return
                except FdplugError:
                    value = "PRUNED"
                self._tell(trial, value)
                told()

    def _ask(self) -> Any:
        """Return the next proposal: the same one, however often the search was interrupted before."""
        import optuna

        self._study.sampler = optuna.samplers.TPESampler(seed=self._seed + self.tried, n_startup_trials=8)
        return self._study.ask()

    def _again(self) -> None:
        """Run what earlier starts found best: all of it is known already, so that nothing is generated."""
        finished = [trial for trial in self._study.get_trials(deepcopy=False) if trial.value is not None]
        if finished:
            trial = max(finished, key=lambda one: one.value)  # of equals the first, as in one run
            recipe = self._proposals.recipe(Known(trial.params))
            if recipe is not None:
                count = trial.user_attrs["count"]
                self.champion = Champion(recipe.make(count), recipe, count, trial.value)

    def _tell(self, trial: Any, value: float | str) -> None:
        """Say what a proposal was worth, or the state in which it ended."""
        import optuna

        if isinstance(value, str):
            self._study.tell(trial, state=optuna.trial.TrialState[value])
        else:
            self._study.tell(trial, value)

    def _value(self, trial: Any) -> float | str:
        """Return what a proposal is worth; `PRUNED` if it cannot win."""
        recipe = self._proposals.recipe(trial)
        if recipe is None:
            return "PRUNED"
        count = self._affordable(recipe) if self._goal.budget.is_ceiling else self._cheapest(recipe)
        if count is None:
            return "PRUNED"
        candidate = recipe.make(count)
        trial.set_user_attr("count", count)
        value = self._quality(candidate) if self._goal.budget.is_ceiling else -recipe.cost(count).seconds
        if value is None:
            return "PRUNED"
        if self.champion is None or value > self.champion.value:
            self.champion = Champion(candidate, recipe, count, value)
        return value

    def _affordable(self, recipe: Recipe) -> int | None:
        """Return the amount of work that the budget pays for; None if none, or if the recipe is far below it."""
        count = recipe.largest(self._goal.fits)
        if count is None or not self._stacks(recipe.make(count)):
            return None
        price, budget = recipe.cost(count), self._goal.budget
        limit = self._goal.reference.seconds / budget.amount if budget.quantity == "times" else budget.amount
        quantity = "seconds" if budget.quantity == "times" else budget.quantity
        return count if len(recipe.counts) > 1 or getattr(price, quantity) >= NEAR * limit else None

    def _quality(self, candidate: Candidate) -> float | None:
        """Return the mean on all calibration captions; None once the first half says that it cannot win."""
        key, half = self._goal.maximize, self._captions[: max(2, len(self._captions) // 2)]
        if self.champion is not None and len(half) < len(self._captions):
            found = self._bench.outcome(candidate, half)
            if found.against(self._bench.outcome(self.champion.candidate, half), key).is_loss:
                return None
        return self._bench.outcome(candidate, self._captions).mean(key)

    def _cheapest(self, recipe: Recipe) -> int | None:
        """Return the least amount of work that keeps the floor, if that is cheaper than the best so far."""
        most = None
        if self.champion is not None:
            most = recipe.largest(lambda price: -price.seconds > self.champion.value)  # type: ignore[union-attr]
            if most is None:
                return None
        return recipe.fewest(self._holds, most) if self._stacks(recipe.make(recipe.counts[0])) else None

    def _holds(self, candidate: Candidate) -> bool:
        reference = self._bench.outcome(self._bench.reference, self._captions)
        return self._goal.holds(self._bench.outcome(candidate, self._captions), reference)

    def _stacks(self, candidate: Candidate) -> bool:
        """Whether the settings can be switched on together; nothing is generated."""
        try:
            with self._bench.sampling(candidate), propagate(self._bench.pipe, candidate.config):
                return True
        except FdplugError:
            return False
