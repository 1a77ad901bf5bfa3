"""The best key steps of a trunk, with a forecast damped span by span: one recorded run and dynamic programming.

Reusing or extrapolating the trunk is, up to the head, reusing or extrapolating the prediction. So the error of every
span follows from the predictions e_0, ..., e_(T-1) of one plain run, without any further denoiser call. A span [j, n)
behind key steps i < j hands out e_j + a r_s (e_j - e_i) at step s, where r_s = (t_s - t_j) / (t_j - t_i) and a, from 0
(reuse) to 1 (linear), is the share of the forecast. Errors weighted by what the sampler and the denoiser keep of them
add up within the span; with the Gram matrix P of an image's predictions the mean square of the sum is a parabola in a.

Images differ: what is left of an early error is a fiftieth in one and all of it in another. So every image has costs of
its own, and what is least is the mean of their errors' logarithms, that is of their PSNR: the cut is found for a
weighted mean of the costs, in which each image weighs as much as one over its error (with even key steps, at first).

Forecasts go no further than first order. Of second order, over three keys with a share of its own in every span, the
same search finds cuts whose expected error is lower in the recorded run (`shapes`, guidance 7.5: by 1.6 dB at 20 calls,
1.4 at 16), and which on other captions are further away (by 7.2 +- 4.6 dB and 12.5 +- 1.5 dB, four captions): one more
number a span fits the images that were recorded.
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
from fdplug.tuning.calibration import Recorder, interpolated, probes, responses_at, sensitivities
from fdplug.tuning.defaults import RESPONSES

Array = npt.NDArray[np.float64]
ROUNDS = 3  # of cutting and weighing again; from then on nothing changes any more
LEAST = 1e-12  # an error that counts as none


@dataclass(frozen=True)
class Recording:
    """One plain run of N images, as far as key steps depend on it.

    Attributes:
        grams: mean products of all pairs of predictions of an image, (N, T, T).
        weights: per image and step, what is left in the final sample of an error of its prediction, (N, T).
        times: noise time of every step.
        timesteps: the scheduler's.
        gflops: of the whole run.
        runs: how often the pipeline was run.
    """

    grams: Array
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
        error: expected mean square of the change of the final sample, the geometric mean over images.
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
    rows = torch.stack(plain.outputs).flatten(2).transpose(0, 1).double()
    weights = np.array(sensitivities(pipe.scheduler, plain))
    measured = {}
    for step, key in probes(len(timesteps), responses).items():
        error = plain.outputs[key].float() - plain.outputs[step].float()
        measured[step] = responses_at(run, pipe.scheduler, plain, step, error, weights[step])
    left = [interpolated({step: one[image] for step, one in measured.items()}, len(weights)) for image in _range(rows)]
    return Recording(
        grams=(rows @ rows.mT / rows.shape[2]).cpu().numpy(),
        weights=weights * np.array(left),
        times=np.array([schedule.step(index).time for index in range(len(timesteps))]),
        timesteps=timesteps,
        gflops=gflops,
        runs=1 + len(measured),
    )


def _range(rows: Any) -> range:
    return range(len(rows))


class SpanCosts:
    """What every span costs every image: a parabola in the share of the forecast.

    Attributes:
        reused: cost without a forecast, (N, T, T + 1): [image, key, end].
        cross: half of what is linear in the share, (N, T, T, T + 1): [image, previous key, key, end].
        square: what is quadratic in it, likewise.
    """

    def __init__(self, recording: Recording) -> None:
        grams, weights, times = recording.grams, recording.weights, recording.times
        images, steps = weights.shape
        self.reused = np.zeros((images, steps, steps + 1))
        self.cross = np.zeros((images, steps, steps, steps + 1))
        self.square = np.zeros_like(self.cross)
        basis = np.eye(steps)
        for key in range(steps):
            errors = np.cumsum(weights[:, key:, None] * (basis[key] - basis[key:]), axis=1)
            products = errors @ grams
            self.reused[:, key, key + 1 :] = (products * errors).sum(-1)
            slopes = basis[key] - basis[:key]
            reach = _reach(times[key:], times[key], times[:key])
            ahead = np.cumsum(weights[:, key:, None] * reach, axis=1)
            self.cross[:, :key, key, key + 1 :] = (ahead * (products @ slopes.T)).transpose(0, 2, 1)
            steep = np.einsum("ka,nab,kb->nk", slopes, grams, slopes)
            self.square[:, :key, key, key + 1 :] = (ahead**2 * steep[:, None]).transpose(0, 2, 1)

    def weighed(self, images: Array) -> tuple[Array, Array]:
        """Return the weighted mean cost of every span and its best share, (T + 1, T, T + 1).

        The first index is the previous key step, T for none; spans that there cannot be cost infinitely much.

        Args:
            images: the weight of every image (N,).
        """
        reused, cross, square = (np.tensordot(images, one, 1) for one in (self.reused, self.cross, self.square))
        steps = len(reused)
        shares = np.zeros((steps + 1, steps, steps + 1))
        shares[:steps] = np.clip(np.divide(-cross, square, out=np.zeros_like(cross), where=square > 0), 0, 1)
        costs = np.broadcast_to(reused, shares.shape).copy()
        costs[:steps] += 2 * shares[:steps] * cross + shares[:steps] ** 2 * square
        before, key, end = np.ogrid[: steps + 1, :steps, : steps + 1]
        possible = (end > key) & ((before < key) | (before == steps))
        return np.where(possible, costs, np.inf), shares

    def errors(self, keys: Sequence[int], shares: Sequence[float]) -> Array:
        """Return the error of every image (N,) with these key steps and shares."""
        ends = [*keys[1:], self.reused.shape[1]]
        total = self.reused[:, list(keys), ends].sum(1)
        for before, key, end, share in zip(keys, keys[1:], ends[1:], shares[1:], strict=False):
            total += 2 * share * self.cross[:, before, key, end] + share**2 * self.square[:, before, key, end]
        return np.maximum(total, LEAST)


def _reach(later: Array, last: float, before: Array) -> Array:
    """Return how far a forecast goes, in gaps between its two key steps; two of the same time have none."""
    gap = last - before
    ahead = np.broadcast_to(later[:, None] - last, (len(later), len(gap)))
    return np.divide(ahead, gap, out=np.zeros(ahead.shape), where=gap != 0)


def best_spans(recording: Recording) -> list[Spans]:
    """Return the best cut with 1, 2, ..., T key steps; the first step always is one."""
    costs = SpanCosts(recording)
    return [_best(costs, count) for count in range(1, len(recording.times) + 1)]


def _best(costs: SpanCosts, count: int) -> Spans:
    """Return the cut of so many key steps whose errors have the least geometric mean, as far as weighing finds it."""
    images, steps, _ = costs.reused.shape
    even = [place * steps // count for place in range(count)]
    weights = 1 / costs.errors(even, [0.0] * count)
    found: list[Spans] = []
    for _ in range(ROUNDS if images > 1 else 1):
        keys, shares = cheapest(*costs.weighed(weights / weights.sum()), count)
        errors = costs.errors(keys, shares)
        found.append(Spans(keys, shares, float(np.exp(np.log(errors).mean()))))
        weights = 1 / errors
    return min(found, key=lambda one: one.error)


def cheapest(costs: Array, shares: Array, count: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the key steps and shares of the cheapest cut into so many spans.

    Args:
        costs: of every span, see `SpanCosts.weighed`.
        shares: its best share.
        count: how many key steps.

    Source:
        The recursion of optimal segmentation (Bellman, 1961) over pairs of keys: what a span costs depends on its key
        step and the one before it.
    """
    steps = shares.shape[1]
    reached = np.full((steps + 1, steps), np.inf)
    reached[steps, 0] = 0.0
    befores, longer = [], reached
    for _ in range(count):
        whole = reached[:, :, None] + costs
        before = whole.argmin(axis=0)
        befores.append(before)
        longer = np.take_along_axis(whole, before[None], axis=0)[0]
        reached = np.vstack([longer[:, :steps], np.full((1, steps), np.inf)])
    end, key, keys, own = steps, int(longer[:, steps].argmin()), [], []
    for before in reversed(befores):
        previous = int(before[key, end])
        keys.append(key)
        own.append(float(shares[previous, key, end]))
        key, end = previous, key
    return tuple(reversed(keys)), tuple(reversed(own))
