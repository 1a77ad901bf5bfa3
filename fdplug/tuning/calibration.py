"""What replaying costs in accuracy: the error of every possible span, measured on a few prompts.

For each step i the pipeline runs with key steps 0, ..., i. Up to i that is the pipeline as it is; from then on every
prediction comes from the features of step i, whatever the sample has become. So T runs give the error that decoding
step s from features of step i makes in what the scheduler is handed, for every pair i <= s.

What becomes of an error is the product of two things, both measured. The *sensitivity* is the sampler's: the scheduler
is run again over the recorded predictions, one of them disturbed at a time. The *response* is the denoiser's: at later
steps it sees the disturbed sample and corrects most of an early error. A few runs in which one prediction is replaced
by a replayed one, and all else is as it is, tell how much of the error is left in the end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.lookup import find_family, find_part
from fdplug.patching import Patch
from fdplug.pipeline import propagate
from fdplug.tuning.defaults import RESPONSES

FloatArray = npt.NDArray[np.float64]
DISTURBANCE = 1e-3
TYPICAL_SPANS = 12  # the response is measured on errors of features that are T / 12 steps old


@dataclass(frozen=True)
class Calibration:
    """The measured costs of a run of T steps.

    Attributes:
        costs: `costs[i][n]`, the mean squared error in the final sample, by first order, of a span of n + 1 steps whose
            key step is i.
        sensitivity: per step, what one unit of error in the prediction adds to the final sample by the sampler alone.
        response: per step, the share of it that is left when the denoiser sees the disturbed sample.
        timesteps: the scheduler's timesteps.
        gflops: of the whole denoiser at every step, and with one key step only; for the images of one call.
        runs: how often the pipeline was run.
        products: what the costs are made of: per key step i, the mean products of the errors at steps i + 1, i + 2, ...
    """

    costs: tuple[tuple[float, ...], ...]
    sensitivity: tuple[float, ...]
    response: tuple[float, ...]
    timesteps: tuple[float, ...]
    gflops: tuple[float, float]
    runs: int
    products: tuple[FloatArray, ...]

    def without_response(self) -> Calibration:
        """Return what the same runs say if the denoiser is taken not to react: the sampler's sensitivity alone."""
        flat = (1.0,) * len(self.response)
        costs = _costs(self.products, np.array(self.sensitivity))
        return replace(self, costs=costs, response=flat, runs=len(self.timesteps))

    def gflops_with(self, keys: int) -> float:
        """Return the GFLOPs with so many key steps: every key step adds the same."""
        most, least = self.gflops
        steps = len(self.timesteps)
        return most if steps == 1 else least + (most - least) * (keys - 1) / (steps - 1)


class Recorder:
    """Keeps what `scheduler.step` is handed during one run, the first sample and the last one.

    Args:
        scheduler: the pipeline's.
        disturb: a step, and what is added to its prediction.
    """

    def __init__(self, scheduler: Any, disturb: tuple[int, Tensor] | None = None) -> None:
        self.outputs: list[Tensor] = []
        self.start: Tensor | None = None
        self.end: Tensor | None = None
        self._disturb = disturb
        self._patch = Patch(scheduler, "step", self._around)

    def _around(
        self, original: Callable[..., Any], output: Tensor, timestep: Any, sample: Tensor, **options: Any
    ) -> Any:
        self.start = sample if self.start is None else self.start
        if self._disturb is not None and self._disturb[0] == len(self.outputs):
            output = output + self._disturb[1].to(output)
        self.outputs.append(output)
        result = original(output, timestep, sample, **options)
        self.end = result[0]
        return result

    def __enter__(self) -> Recorder:
        self._patch.apply()
        return self

    def __exit__(self, *reason: object) -> None:
        self._patch.remove()

    def distance(self, other: Recorder) -> float:
        """Mean squared difference of the final samples."""
        return float(self.distances(other).mean())

    def typical_distance(self, other: Recorder) -> float:
        """Mean over the samples of 10 log10 of their mean squared difference, in dB; none is below -120 dB."""
        return float(10 * self.distances(other).clamp(min=1e-12).log10().mean())

    def distances(self, other: Recorder) -> Tensor:
        """Mean squared difference of every final sample (N,)."""
        assert self.end is not None
        assert other.end is not None
        return (self.end.float() - other.end.float()).square().flatten(1).mean(1)


def calibrate(
    pipe: Any,
    run: Callable[[], Any],
    *,
    part: Any = "encoder",
    responses: int = RESPONSES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Measure what every possible span costs.

    Args:
        pipe: a pipeline whose denoiser belongs to a registered family.
        run: calls the pipeline on the calibration prompts, the same way each time: fixed seeds, fixed step count.
        part: the part that is replayed; its predictions must not depend on the sample.
        responses: at how many steps the denoiser's response is measured; 0 takes it to be 1 everywhere.
        progress: told (runs done, runs in all); there are T runs, and one for each response.

    Raises:
        ConfigError: predictions of the part depend on the sample, or the run is not the same each time.
    """
    chosen, _ = find_part(part, *find_family(pipe))
    if not chosen.sample_free:
        raise ConfigError(f"with part '{chosen.name}' every prediction depends on the sample: it cannot be calibrated")
    plain, most = _record(pipe, run, PropagationConfig.unaccelerated())
    steps = len(plain.outputs)
    sensitivity = sensitivities(pipe.scheduler, plain)
    places = probes(steps, responses)
    total, done, least = steps + len(places), 1, most
    progress(done, total)
    products, measured = [], {}
    for step in range(steps - 1):
        policy = {"explicit": {"steps": range(step + 1)}}
        spans, gflops = _record(pipe, run, PropagationConfig(policy=policy, part=part, injector="none"))
        _check_same(plain, spans, step)
        errors = _errors(plain, spans, step)
        products.append(_products(errors))
        least = min(least, gflops)
        for probe in (probe for probe, first in places.items() if first == step):
            measured[probe] = response_at(
                run, pipe.scheduler, plain, probe, errors[probe - step - 1], sensitivity[probe]
            )
        done = step + 2 + len(measured)
        progress(done, total)
    response = interpolated(measured, steps)
    costs = _costs(products, np.multiply(sensitivity, response))
    timesteps = tuple(float(value) for value in pipe.scheduler.timesteps.tolist())
    return Calibration(costs, tuple(sensitivity), tuple(response), timesteps, (most, least), total, tuple(products))


def _record(pipe: Any, run: Callable[[], Any], settings: PropagationConfig) -> tuple[Recorder, float]:
    with propagate(pipe, settings) as on, Recorder(pipe.scheduler) as recorder:
        run()
        gflops = on.ledger.gflops()
    return recorder, gflops


def _check_same(plain: Recorder, spans: Recorder, step: int) -> None:
    if len(spans.outputs) != len(plain.outputs) or not torch.allclose(
        spans.outputs[step].float(), plain.outputs[step].float(), rtol=1e-2, atol=1e-2
    ):
        raise ConfigError("the calibration run is not the same each time: fix its seeds, prompts and number of steps")


def _errors(plain: Recorder, spans: Recorder, step: int) -> list[Tensor]:
    """Return what replaying from `step` on adds to the predictions at step + 1, step + 2, ..."""
    pairs = zip(spans.outputs[step + 1 :], plain.outputs[step + 1 :], strict=True)
    return [replayed.float() - own.float() for replayed, own in pairs]


def _products(errors: list[Tensor]) -> FloatArray:
    """Return the mean products of all pairs of errors, (n, n): all that is kept of them."""
    rows = torch.stack(errors).flatten(1).double()
    return (rows @ rows.T / rows.shape[1]).cpu().numpy()


def _costs(products: Sequence[FloatArray], weights: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Return the costs of all spans; the last step is a span of its own."""
    rows = (tuple(_span_costs(own, weights[first + 1 :])) for first, own in enumerate(products))
    return (*rows, (0.0,))


def _span_costs(products: FloatArray, weights: FloatArray) -> Iterator[float]:
    """Yield the cost of spans of 1, 2, ... steps: weighted errors add up in the sample, then are squared."""
    for count in range(len(weights) + 1):
        yield float(weights[:count] @ products[:count, :count] @ weights[:count])


def probes(steps: int, count: int) -> dict[int, int]:
    """Return where to measure the response, evenly spread from 1 to the last, and from which step to replay there."""
    last = steps - 1
    count = min(count, last)
    chosen = sorted({1 + round(index * (last - 1) / max(1, count - 1)) for index in range(count)})
    return {step: max(0, step - max(1, steps // TYPICAL_SPANS)) for step in chosen}


def response_at(
    run: Callable[[], Any], scheduler: Any, plain: Recorder, step: int, error: Tensor, sensitivity: float
) -> float:
    """Return what is left of the error of one replayed prediction, where the sampler alone would keep 1."""
    with Recorder(scheduler, (step, error)) as disturbed:
        run()
    expected = float((sensitivity * error).square().mean())
    return (disturbed.distance(plain) / expected) ** 0.5 if expected else 1.0


def responses_at(
    run: Callable[[], Any], scheduler: Any, plain: Recorder, step: int, error: Tensor, sensitivity: float
) -> FloatArray:
    """Return what `response_at` does for every image by itself (N,); they differ by a factor of ten and more."""
    with Recorder(scheduler, (step, error)) as disturbed:
        run()
    expected = (sensitivity * error).square().flatten(1).mean(1).double().cpu()
    left = disturbed.distances(plain).double().cpu()
    return (left / expected).sqrt().where(expected > 0, torch.ones_like(left)).numpy()


def interpolated(measured: dict[int, float], steps: int) -> list[float]:
    """Return the response at every step: straight lines between the logarithms of those that were measured."""
    if not measured:
        return [1.0] * steps
    known = sorted(measured)
    logs = np.log([max(measured[step], 1e-6) for step in known])
    return np.exp(np.interp(range(steps), known, logs)).tolist()


def sensitivities(scheduler: Any, plain: Recorder) -> list[float]:
    """Return, per step, how much of a disturbance of its prediction is found in the final sample."""
    if len(plain.outputs) != len(scheduler.timesteps):
        given = f"{len(plain.outputs)} of {len(scheduler.timesteps)} steps"
        raise ConfigError(f"only runs over a whole schedule can be calibrated, this one took {given}")
    undisturbed = _replay(scheduler, plain, None)
    found = []
    for step in range(len(plain.outputs)):
        moved = _replay(scheduler, plain, step) - undisturbed
        found.append(float((moved * _direction(moved)).mean()) / DISTURBANCE)
    return found


def _direction(like: Tensor) -> Tensor:
    """Return fixed signs, of unit mean square."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, like.shape, generator=generator)
    return (2 * signs - 1).to(like)


def _replay(scheduler: Any, plain: Recorder, disturbed: int | None) -> Tensor:
    """Run the scheduler over recorded predictions, without the denoiser, in float64."""
    again = type(scheduler).from_config(scheduler.config)
    again.set_timesteps(scheduler.num_inference_steps)
    assert plain.start is not None
    sample = plain.start.double().cpu()
    takes_generator = "generator" in inspect.signature(again.step).parameters
    options = {"generator": torch.Generator().manual_seed(0)} if takes_generator else {}
    for step, timestep in enumerate(again.timesteps):
        output = plain.outputs[step].double().cpu()
        if step == disturbed:
            output = output + DISTURBANCE * _direction(output)
        sample = again.step(output, timestep, sample, **options).prev_sample
    return sample
