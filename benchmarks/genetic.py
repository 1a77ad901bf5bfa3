"""Key steps by a genetic search, which the paper suggests as future work: NSGA-II of pymoo, from `fdplug[benchmarks]`.

It needs no model of what an error does, only runs: hundreds of them. It is here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdplug import checks

Keys = tuple[int, ...]
PARENTS = 24


@dataclass(frozen=True)
class Front:
    """What a search found.

    Attributes:
        best: for each number of key steps that was tried, the keys with the least error, and that error.
        tried: how many candidates were measured.
    """

    best: dict[int, tuple[Keys, float]]
    tried: int

    def at_most(self, count: int) -> tuple[Keys, float]:
        """Return the best keys of `count` or fewer."""
        return min((found for number, found in self.best.items() if number <= count), key=lambda found: found[1])


def search(
    steps: int, error: Callable[[Keys], float], budget: int, *, seed: int = 0, starts: Sequence[Keys] = ()
) -> Front:
    """Search for key steps with little error and few of them, by NSGA-II.

    A candidate is one bit per step but the first, which always is a key step. Objectives: the error's logarithm, and
    the number of key steps.

    Args:
        steps: of the run.
        error: measures a candidate; asked once for each.
        budget: candidates to measure.
        seed: of the search.
        starts: candidates to begin with; the others are random, of every density.

    Raises:
        ConfigError: pymoo is not installed.
    """
    known: dict[Keys, float] = {}

    def measured(bits: Any) -> float:
        keys = (0, *(int(step) + 1 for step in np.flatnonzero(bits)))
        if keys not in known:
            known[keys] = error(keys)
        return known[keys]

    _minimize(steps, measured, _population(steps, seed, starts), budget, seed, lambda: len(known))
    best: dict[int, tuple[Keys, float]] = {}
    for keys, value in known.items():
        if len(keys) not in best or value < best[len(keys)][1]:
            best[len(keys)] = (keys, value)
    return Front(best, len(known))


def _population(steps: int, seed: int, starts: Sequence[Keys]) -> Any:
    """Return the first generation, (PARENTS, steps - 1) bits: few key steps to many."""
    rng = np.random.default_rng(seed)
    density = np.linspace(1 / steps, 0.5, PARENTS)[:, None]
    bits = rng.random((PARENTS, steps - 1)) < density
    for row, keys in zip(bits, starts, strict=False):
        row[:] = [step in keys for step in range(1, steps)]
    return bits


def _minimize(
    steps: int, measured: Callable[[Any], float], first: Any, budget: int, seed: int, tried: Callable[[], int]
) -> None:
    checks.installed("the genetic search", "benchmarks", "pymoo")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation

    class KeySteps(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(n_var=steps - 1, n_obj=2, xl=False, xu=True, vtype=bool)

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = [np.log(measured(x) + 1e-12), int(np.count_nonzero(x)) + 1]

    algorithm = NSGA2(
        pop_size=PARENTS,
        sampling=first,
        crossover=TwoPointCrossover(),
        mutation=BitflipMutation(),
        eliminate_duplicates=True,
    )
    algorithm.setup(KeySteps(), seed=seed, verbose=False)
    generations = 0
    while tried() < budget and generations < budget and algorithm.has_next():
        algorithm.next()
        generations += 1
