"""The best key steps of a trunk, with a forecast damped span by span: one recorded run and dynamic programming.

Reusing or extrapolating the trunk is, up to the head, reusing or extrapolating the prediction. So the error of every
span follows from the predictions e_0, ..., e_(T-1) of one plain run, without any further denoiser call. A span [j, n)
behind key steps i < j hands out e_j + a r_s (e_j - e_i) at step s, where r_s = (t_s - t_j) / (t_j - t_i) and a, from 0
(reuse) to 1 (linear), is the share of the forecast. Errors weighted by what the sampler keeps of them add up within the
span; with the Gram matrix P of the predictions the mean square of the sum is a parabola in a, whose minimum is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fdplug.pipeline import propagate
from fdplug.schedule import Schedule
from fdplug.tuning.calibration import Recorder, interpolated, probes, response_at, sensitivities
from fdplug.tuning.defaults import RESPONSES

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """One plain run, as far as key steps depend on it.

    Attributes:
        gram: mean products of all pairs of predictions, (T, T).
        weights: per step, what is left in the final sample of an error of its prediction.
        times: noise time of every step.
        timesteps: the scheduler's.
        gflops: of the whole run.
        runs: how often the pipeline was run.
    """

    gram: Array
    weights: Array
    times: Array
    timesteps: tuple[float, ...]
    gflops: float
    runs: int

    def gflops_with(self, keys: int) -> float:
        """Return the GFLOPs with so many key steps; a replayed step costs next to nothing."""
        return self.gflops * keys / len(self.times)


@dataclass(frozen=True)
class Spans:
    """A run cut into spans.

    Attributes:
        keys: the key steps, in order.
        shares: per key step, the share of the linear forecast in its span.
        error: expected mean square of the change of the final sample.
    """

    keys: tuple[int, ...]
    shares: tuple[float, ...]
    error: float


def record(pipe: Any, run: Callable[[], Any], responses: int = RESPONSES) -> Recording:
    """Record one plain run, and what becomes of an error at a few steps.

    Args:
        pipe: the pipeline.
        run: calls it on the calibration captions, the same way each time.
        responses: at how many steps a run measures how much of an error the denoiser leaves; 0: none, all is left.
    """
    with propagate(pipe, policy="all", injector="none") as on, Recorder(pipe.scheduler) as plain:
        run()
        gflops = on.ledger.gflops()
    timesteps = tuple(float(value) for value in pipe.scheduler.timesteps.tolist())
    schedule = Schedule(timesteps, num_train_timesteps=pipe.scheduler.config.num_train_timesteps)
    rows = torch.stack(plain.outputs).flatten(1).double()
    weights = np.array(sensitivities(pipe.scheduler, plain))
    measured = {}
    for step, key in probes(len(rows), responses).items():
        error = plain.outputs[key].float() - plain.outputs[step].float()
        measured[step] = response_at(run, pipe.scheduler, plain, step, error, weights[step])
    return Recording(
        gram=(rows @ rows.T / rows.shape[1]).cpu().numpy(),
        weights=weights * interpolated(measured, len(rows)),
        times=np.array([schedule.step(index).time for index in range(len(rows))]),
        timesteps=timesteps,
        gflops=gflops,
        runs=1 + len(measured),
    )


def span_costs(gram: Array, weights: Array, times: Array) -> tuple[Array, Array]:
    """Return cost and best share of every span, (T + 1, T, T + 1): [previous key (T: none), key, end]."""
    steps = len(gram)
    costs = np.full((steps + 1, steps, steps + 1), np.inf)
    shares = np.zeros_like(costs)
    basis = np.eye(steps)
    for key in range(steps):
        ends = np.arange(key + 1, steps + 1)
        errors = np.cumsum(weights[key:, None] * (basis[key] - basis[key:]), axis=0)
        reused = np.einsum("na,ab,nb->n", errors, gram, errors)
        costs[steps, key, ends] = reused
        for before in range(key):
            slope = basis[key] - basis[before]
            ahead = np.cumsum(weights[key:] * (times[key:] - times[key]) / (times[key] - times[before]))
            cross, square = ahead * (errors @ gram @ slope), ahead**2 * (slope @ gram @ slope)
            share = np.clip(np.divide(-cross, square, out=np.zeros_like(cross), where=square > 0), 0, 1)
            costs[before, key, ends] = reused + 2 * share * cross + share**2 * square
            shares[before, key, ends] = share
    return costs, shares


def best_spans(recording: Recording) -> list[Spans]:
    """Return the cheapest cut with 1, 2, ..., T key steps; the first step always is one.

    Source:
        The recursion of optimal segmentation (Bellman, 1961) over pairs of keys: what a span costs depends on its key
        step and the one before it.
    """
    costs, shares = span_costs(recording.gram, recording.weights, recording.times)
    steps = len(recording.gram)
    reached = np.full((steps + 1, steps), np.inf)
    reached[steps, 0] = 0.0
    befores: list[npt.NDArray[np.intp]] = []
    found = []
    for _ in range(steps):
        whole = reached[:, :, None] + costs
        before = whole.argmin(axis=0)
        longer = np.take_along_axis(whole, before[None], axis=0)[0]
        befores.append(before)
        found.append(_traced(befores, int(longer[:, steps].argmin()), float(longer[:, steps].min()), shares))
        reached = np.vstack([longer[:, :steps], np.full((1, steps), np.inf)])
    return found


def _traced(befores: Sequence[Any], key: int, error: float, shares: Array) -> Spans:
    steps = shares.shape[1]
    end, keys, own = steps, [], []
    for before in reversed(befores):
        previous = int(before[key, end])
        keys.append(key)
        own.append(float(shares[previous, key, end]))
        key, end = previous, key
    return Spans(tuple(reversed(keys)), tuple(reversed(own)), max(0.0, error))
