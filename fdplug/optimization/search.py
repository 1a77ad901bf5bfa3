"""The search: Optuna proposes settings, prices decide how much work they get, only what may win is run to the end."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.checks import installed
from fdplug.errors import FdplugError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.cuts import Cuts
from fdplug.optimization.goal import Goal
from fdplug.optimization.measuring.workbench import CandidateError, Workbench
from fdplug.optimization.recipe import Recipe, Recipes
from fdplug.optimization.space import Catalogue
from fdplug.pipeline import propagate
from fdplug.tuning.span_search import HALVES

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

TUNED = "tuned"
"""The choice of key steps by dynamic programming, beside the policies by name."""
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
        recipes: makes them.
        space: what there is to try.
        goal: what is looked for.
        captions: calibration captions.
        parents: samplers and steps that propagation is put on, the reference first.
        cuts: key steps by dynamic programming.
        seed: of the proposals.

    Attributes:
        champion: the best so far.
        tried: proposals so far, those of earlier starts included.
    """

    def __init__(
        self,
        bench: Workbench,
        recipes: Recipes,
        space: Catalogue,
        goal: Goal,
        captions: Sequence[Caption],
        parents: Sequence[Candidate],
        cuts: Cuts,
        seed: int = 0,
    ) -> None:
        self._bench, self._recipes, self._space, self._goal = bench, recipes, space, goal
        self._captions, self._cuts = captions, cuts
        self._parents = {one.key: one for one in parents}
        self._parts = {json.dumps(part): part for part in space.parts if recipes.has_price(part)}
        self._study = _study(bench.records.folder, goal.budget.text, seed)
        self.champion: Champion | None = None
        self._again()
        self._begin()

    @property
    def tried(self) -> int:
        """Proposals so far, those of earlier starts included."""
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    def run(self, trials: int, stop: Callable[[], bool], told: Callable[[], None]) -> None:
        """Try until there were so many proposals, or `stop` says so."""
        while self._parts and self.tried < trials and not stop():
            trial = self._study.ask()
            try:
                value = self._value(trial)
            except (CandidateError, FdplugError):
                value = None
            self._tell(trial, value)
            told()

    def _again(self) -> None:
        """Run what earlier starts found best: all of it is known already, so that nothing is generated."""
        finished = [trial for trial in self._study.get_trials(deepcopy=False) if trial.value is not None]
        for trial in sorted(finished, key=lambda one: one.value)[-1:]:
            recipe = self._recipe(_Fixed(trial.params))
            if recipe is not None:
                count = trial.user_attrs["count"]
                self.champion = Champion(recipe.make(count), recipe, count, trial.value)

    def _begin(self) -> None:
        """Ask first about what is known to be good."""
        first = next(iter(self._parents))
        trunk = json.dumps("trunk")
        starts: list[dict[str, Any]] = [{"policy": TUNED, "tuned.trust": place} for place in range(len(HALVES))]
        starts.append({"policy": "early", "early.power": 1.25, "cache": "reuse"})
        if "forecast" in self._space.plugins["cache"]:
            forecast = {"cache": "forecast", "forecast.order": 1, "forecast.horizon": None, "forecast.reach": 50.0}
            starts.append({"policy": "early", "early.power": 1.25, **forecast, "forecast.blend": 0.5})
            starts.append({"policy": "uniform", **forecast, "forecast.blend": 1.0})
        for start in starts if trunk in self._parts else ():
            self._study.enqueue_trial({"parent": first, "part": trunk, **start}, skip_if_exists=True)

    def _tell(self, trial: Any, value: float | None) -> None:
        import optuna

        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, value)

    def _recipe(self, trial: Any) -> Recipe | None:
        """Return the recipe that a trial proposes; None where there is none."""
        parent = self._parents[trial.suggest_categorical("parent", list(self._parents))]
        part = self._parts[trial.suggest_categorical("part", list(self._parts))]
        policies = [TUNED, *self._space.plugins["policy"]]
        policy = trial.suggest_categorical("policy", policies)
        injector = trial.suggest_categorical("injector", list(self._space.plugins["injector"]))
        if policy == TUNED:
            curve = self._cuts.curve(parent) if part == "trunk" else None
            trust = HALVES[trial.suggest_categorical("tuned.trust", list(range(len(HALVES))))]
            return None if curve is None else self._recipes.cut(parent, curve, part, injector, trust)
        options = self._options(trial, "policy", policy)
        cache = trial.suggest_categorical("cache", list(self._space.plugins["cache"]))
        kept = self._options(trial, "cache", cache)
        return self._recipes.by_policy(parent, part, (policy, options), {cache: kept} if kept else cache, injector)

    def _options(self, trial: Any, kind: str, name: str) -> dict[str, Any]:
        """Return values of a plugin's options: those of a `range` are left open."""
        space = self._space.plugins[kind][name]
        return {
            key: values if isinstance(values, range) else trial.suggest_categorical(f"{name}.{key}", list(values))
            for key, values in space.items()
        }

    def _value(self, trial: Any) -> float | None:
        """Return what a proposal is worth; None if it cannot win."""
        recipe = self._recipe(trial)
        if recipe is None:
            return None
        count = self._affordable(recipe) if self._goal.budget.is_ceiling else self._cheapest(recipe)
        if count is None:
            return None
        candidate = recipe.make(count)
        trial.set_user_attr("count", count)
        value = self._quality(candidate) if self._goal.budget.is_ceiling else -recipe.cost(count).seconds
        if value is not None and (self.champion is None or value > self.champion.value):
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


class _Fixed:
    """Stands in for a trial whose values are known."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the known value."""
        return self._values[name]


def _study(folder: Path | None, name: str, seed: int) -> Any:
    """Return the study of this name in the folder's database, or a new one in memory.

    Raises:
        ConfigError: the package is not installed.
    """
    installed("fdplug optimize", "optimize", "optuna")
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    storage = None if folder is None else optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / 'study.db'}")
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    done = study.get_trials(deepcopy=False)
    for trial in done:
        if trial.state == optuna.trial.TrialState.RUNNING:  # the process that ran it was killed
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=8)
    return study
