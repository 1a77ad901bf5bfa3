"""What a scheduler's steps do, found by taking some: whether they add noise, and whether they combine predictions.

Names and declared orders do not tell: first-order UniPC corrects by the prediction before, a flow scheduler may sample
stochastically by a setting, and a scheduler of somebody else is on nobody's list. So a fresh one of the same settings
takes a few steps on a small sample, with predictions that are handed to it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TRIALS = ((8, False), (8, True), (2, False))
"""Numbers of steps, the first that a scheduler takes, and whether timesteps are handed over as (1,) instead of ()."""
CALLS = 8
"""Of the trial at most: schedulers of second order have two in a step."""
SHAPE = (1, 4, 2, 2)


@dataclass(frozen=True)
class Solver:
    """What was found.

    Attributes:
        adds_noise: whether equal steps end differently.
        combines: whether the result of a step depends on earlier predictions, too, its sample being given.
        untried: why nothing could be found; empty where it was.
    """

    adds_noise: bool = False
    combines: bool = False
    untried: str = ""


def solver_of(scheduler: Any) -> Solver:
    """Return what a scheduler's steps do; a scheduler in use is not touched.

    One that says that it takes two calls a step combines predictions, even where its second call starts from a sample
    that it keeps, as KDPM2's does.
    """
    found = _tried(_Settings(scheduler))
    several = not found.adds_noise and int(getattr(scheduler, "order", None) or 1) > 1
    return replace(found, combines=True) if several else found


class _Settings:
    """A scheduler's class and configuration, by which equal ones are tried once."""

    def __init__(self, scheduler: Any) -> None:
        self.kind, self.config = type(scheduler), dict(scheduler.config)
        self._key = self.kind, repr(sorted(self.config.items(), key=lambda item: item[0]))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Settings) and self._key == other._key


@functools.lru_cache(maxsize=64)
def _tried(settings: _Settings) -> Solver:
    import torch

    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(SHAPE, generator=generator) for _ in range(CALLS + 2)]
    errors = []
    for steps, expanded in TRIALS:
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
                warnings.simplefilter("ignore")
                fresh = settings.kind.from_config(settings.config)
                return _found(functools.partial(_results, fresh, steps, expanded), *drawn)
        except Exception as error:  # whatever a scheduler raises that takes no such steps
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0][:120])
    return Solver(untried=errors[0])


def _found(results: Callable[..., list[Tensor]], start: Tensor, other: Tensor, *predictions: Tensor) -> Solver:
    """Compare runs: with other random numbers, and with other predictions before a step that starts from the same.

    Args:
        results: `_results` of a scheduler.
        start: the first sample, (B, C, H, W).
        other: the other prediction.
        predictions: step by step.
    """
    first = results(1, start, predictions)
    if _differ(first, results(2, start, predictions)):
        return Solver(adds_noise=True)
    for same in range(3):  # every third step keeps its own prediction, and none of its neighbours does
        changed = [one if place % 3 == same else other for place, one in enumerate(predictions)]
        again = results(1, start, changed, [start, *first])
        if _differ(first[same::3], again[same::3]):
            return Solver(combines=True)
    return Solver()


def _differ(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    import torch

    return any(not torch.equal(one, other) for one, other in zip(some, others, strict=True))


def _results(
    fresh: Any,
    steps: int,
    expanded: bool,
    seed: int,
    start: Tensor,
    predictions: Sequence[Tensor],
    samples: Sequence[Tensor] = (),
) -> list[Tensor]:
    """Return the result of every step of a scheduler.

    Args:
        fresh: the scheduler, of which a copy takes them.
        steps: how many.
        expanded: whether timesteps are handed over as (1,).
        seed: of torch's own random numbers.
        start: the first sample.
        predictions: what it is given, step by step.
        samples: what each step starts from; what the one before ended with, where none are given.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    scheduler = copy.deepcopy(fresh)
    _set_timesteps(scheduler, steps)
    sample, results = start, []
    for index, timestep in enumerate(scheduler.timesteps[:CALLS]):
        sample = samples[index] if samples else sample
        sample = _step(
            scheduler, predictions[index].clone(), timestep[None] if expanded else timestep, sample.clone(), start
        )
        results.append(sample)
    return results


def _set_timesteps(scheduler: Any, steps: int) -> None:
    """Set the steps of the trial; dynamic shifting wants to know a size."""
    shifts = scheduler.config.get("use_dynamic_shifting") and "mu" in _signature(scheduler.set_timesteps)
    scheduler.set_timesteps(steps, **({"mu": 0.5} if shifts else {}))


def _step(scheduler: Any, prediction: Tensor, timestep: Any, sample: Tensor, image: Tensor) -> Tensor:
    """Take a step; what it wants besides is the timestep, or an image, by the name."""
    if hasattr(scheduler, "scale_model_input"):
        scheduler.scale_model_input(sample, timestep)
    known = {"model_output": prediction, "timestep": timestep, "sample": sample}
    taken = _signature(scheduler.step)
    wanted = [name for name, one in taken.items() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    besides = {name: timestep if "timestep" in name else image for name in wanted if name not in known}
    quick = {"return_dict": False} if "return_dict" in taken else {}
    return scheduler.step(**{**known, **besides, **quick})[0]


def _signature(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
