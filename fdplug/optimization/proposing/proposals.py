"""Proposals: what the values that Optuna suggests stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.price import key_of
from fdplug.optimization.proposing.cuts import Cuts
from fdplug.optimization.proposing.recipe import NOTHING, Extras, Recipe, Recipes
from fdplug.optimization.proposing.space import Catalogue, digest
from fdplug.tuning.span_search import HALVES

TUNED = "tuned"
"""The choice of key steps by dynamic programming, beside the policies by name."""
NONE, ALL, SOME = "none", "all", "some"


class Proposals:
    """Makes recipes of proposals.

    Args:
        recipes: makes them of settings.
        space: what there is to try.
        parents: samplers and steps that everything is put on, the reference first.
        cuts: key steps by dynamic programming.
    """

    def __init__(self, recipes: Recipes, space: Catalogue, parents: Sequence[Candidate], cuts: Cuts) -> None:
        self._recipes, self._space, self._cuts = recipes, space, cuts
        self._parents = {one.key: one for one in parents}
        self._parts = {key_of(part): part for part in space.parts if recipes.has_price(part)}
        self._changes = {key_of(one): one for one in space.transforms if key_of(one) in recipes.prices.changed}
        self._guidances = dict(space.plugins["guidance"]) if recipes.prices.lean is not None else {}
        self._whole = [NONE] if self._changes or self._guidances else []

    @property
    def stamp(self) -> str:
        """The same text where the same may be proposed."""
        offered = [list(held) for held in (self._parents, self._parts, self._changes, self._guidances)]
        return digest([self._space.stamp, offered])

    def __bool__(self) -> bool:
        return bool(self._parts or self._whole)

    def starts(self) -> list[dict[str, Any]]:
        """Return what is known to be good, to be asked about first."""
        trunk = key_of("trunk")
        if trunk not in self._parts:
            return []
        starts: list[dict[str, Any]] = [{"policy": TUNED, "tuned.trust": place} for place in range(len(HALVES))]
        starts.append({"policy": "early", "policy.early.power": 1.25, "cache": "reuse"})
        if "forecast" in self._space.plugins["cache"]:
            forecast = {
                "cache": "forecast",
                "cache.forecast.order": 1,
                "cache.forecast.horizon": None,
                "cache.forecast.reach": 50.0,
            }
            starts.append({"policy": "early", "policy.early.power": 1.25, **forecast, "cache.forecast.blend": 0.5})
            starts.append({"policy": "uniform", **forecast, "cache.forecast.blend": 1.0})
        plain = {"parent": next(iter(self._parents)), "part": trunk}
        plain |= {"rows": ALL} if self._guidances else {}
        plain |= {"change": NONE} if self._changes else {}
        return [plain | start for start in starts]

    def recipe(self, trial: Any) -> Recipe | None:
        """Return the recipe that a trial proposes; None where there is none."""
        parent = self._parents[trial.suggest_categorical("parent", list(self._parents))]
        place = trial.suggest_categorical("part", [*self._parts, *self._whole])
        extras = Extras(self._rows(trial), self._transforms(trial))
        if place == NONE:
            return None if extras == NOTHING else self._recipes.stock(parent.sampler, extras)
        part = self._parts[place]
        policy = trial.suggest_categorical("policy", [TUNED, *self._space.plugins["policy"]])
        injector = self._plugin(trial, "injector")
        if policy == TUNED:
            curve = self._cuts.curve(parent) if part == "trunk" else None
            trust = HALVES[trial.suggest_categorical("tuned.trust", list(range(len(HALVES))))]
            return None if curve is None else self._recipes.cut(parent, curve, part, injector, trust, extras)
        options = self._options(trial, "policy", policy)
        return self._recipes.by_policy(parent, part, (policy, options), self._plugin(trial, "cache"), injector, extras)

    def _rows(self, trial: Any) -> Any:
        """Return the guidance that is proposed; None for all rows."""
        if not self._guidances or trial.suggest_categorical("rows", [ALL, SOME]) == ALL:
            return None
        return self._plugin(trial, "guidance")

    def _transforms(self, trial: Any) -> tuple[Any, ...]:
        chosen = trial.suggest_categorical("change", [NONE, *self._changes]) if self._changes else NONE
        return () if chosen == NONE else (self._changes[chosen],)

    def _plugin(self, trial: Any, kind: str) -> Any:
        """Return the plugin of a kind that is proposed, with its options."""
        name = trial.suggest_categorical(kind, list(self._space.plugins[kind]))
        options = self._options(trial, kind, name)
        return {name: options} if options else name

    def _options(self, trial: Any, kind: str, name: str) -> dict[str, Any]:
        """Return values of a plugin's options: those of a policy that are a `range` are left open."""
        space = self._space.plugins[kind][name]
        return {
            key: values
            if kind == "policy" and isinstance(values, range)
            else trial.suggest_categorical(f"{kind}.{name}.{key}", list(values))
            for key, values in space.items()
        }


class Known:
    """Stands in for a trial whose values are known."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the known value."""
        return self._values[name]
