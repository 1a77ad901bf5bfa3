"""What replaying costs in accuracy: the error of every possible span, measured on a few prompts.

For each step i the pipeline runs with key steps 0, ..., i. Up to i that is the pipeline as it is; from then on every
prediction comes from the features of step i, whatever the sample has become. So T runs give the error that decoding
step s from features of step i makes in what the scheduler is handed, for every pair i <= s. What the sampler makes of
it is measured too: the scheduler is run again over the recorded predictions, one of them disturbed at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fdplug.errors import ConfigError
from fdplug.patching import Patch
from fdplug.pipeline import find_family, find_part, propagate

DISTURBANCE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """The measured costs of a run of T steps.

    Attributes:
        costs: `costs[i][n]`, the mean squared error in the final sample, by first order, of a span of n + 1 steps whose
            key step is i.
        sensitivity: per step, what one unit of error in the prediction adds to the final sample.
        timesteps: the scheduler's timesteps.
        gflops: of the whole denoiser at every step, and with one key step only; for the images of one call.
    """

    costs: tuple[tuple[float, ...], ...]
    sensitivity: tuple[float, ...]
    timesteps: tuple[float, ...]
    gflops: tuple[float, float]

    def gflops_with(self, keys: int) -> float:
        """Return the GFLOPs with so many key steps: every key step adds the same."""
        most, least = self.gflops
        steps = len(self.timesteps)
        return most if steps == 1 else least + (most - least) * (keys - 1) / (steps - 1)


class Recorder:
    """Keeps what `scheduler.step` is handed during one run."""

    def __init__(self, scheduler: Any) -> None:
        self.outputs: list[Tensor] = []
        self.start: Tensor | None = None
        self._patch = Patch(scheduler, "step", self._around)

    def _around(
        self, original: Callable[..., Any], output: Tensor, timestep: Any, sample: Tensor, **options: Any
    ) -> Any:
        self.start = sample if self.start is None else self.start
        self.outputs.append(output)
        return original(output, timestep, sample, **options)

    def __enter__(self) -> Recorder:
        self._patch.apply()
        return self

    def __exit__(self, *reason: object) -> None:
        self._patch.remove()


def calibrate(
    pipe: Any,
    run: Callable[[], Any],
    *,
    part: Any = "encoder",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Measure what every possible span costs.

    Args:
        pipe: a pipeline whose denoiser belongs to a registered family.
        run: calls the pipeline on the calibration prompts, the same way each time: fixed seeds, fixed step count.
        part: the part that is replayed; its predictions must not depend on the sample.
        progress: told (runs done, runs in all); there are T runs.

    Raises:
        ConfigError: predictions of the part depend on the sample, or the run is not the same each time.
    """
    chosen, _ = find_part(part, *find_family(pipe))
    if not chosen.sample_free:
        raise ConfigError(f"with part '{chosen.name}' every prediction depends on the sample: it cannot be calibrated")
    plain, most = _record(pipe, run, {"policy": "all"})
    total = len(plain.outputs)
    progress(1, total)
    sensitivity = _sensitivity(pipe.scheduler, plain)
    costs, least = [], most
    for step in range(total - 1):
        spans, gflops = _record(pipe, run, {"policy": {"explicit": {"steps": range(step + 1)}}, "part": part})
        _check_same(plain, spans, step)
        costs.append(tuple(_span_costs(plain, spans, step, sensitivity)))
        least = min(least, gflops)
        progress(step + 2, total)
    timesteps = tuple(float(value) for value in pipe.scheduler.timesteps.tolist())
    return Calibration((*costs, (0.0,)), tuple(sensitivity), timesteps, (most, least))


def _record(pipe: Any, run: Callable[[], Any], settings: dict[str, Any]) -> tuple[Recorder, float]:
    with propagate(pipe, injector="none", **settings) as on, Recorder(pipe.scheduler) as recorder:
        run()
    return recorder, on.ledger.gflops()


def _check_same(plain: Recorder, spans: Recorder, step: int) -> None:
    if len(spans.outputs) != len(plain.outputs) or not torch.allclose(
        spans.outputs[step].float(), plain.outputs[step].float(), rtol=1e-2, atol=1e-2
    ):
        raise ConfigError("the calibration run is not the same each time: fix its seeds, prompts and number of steps")


def _span_costs(plain: Recorder, spans: Recorder, step: int, sensitivity: list[float]) -> Iterator[float]:
    """Yield the cost of spans of 1, 2, ... steps from `step` on; errors add up in the sample, then are squared."""
    moved = torch.zeros_like(plain.outputs[step], dtype=torch.float32)
    for index in range(step, len(plain.outputs)):
        if index > step:
            moved += sensitivity[index] * (spans.outputs[index].float() - plain.outputs[index].float())
        yield float(moved.square().mean())


def _sensitivity(scheduler: Any, plain: Recorder) -> list[float]:
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
