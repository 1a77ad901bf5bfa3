"""The state of one run: where it is, what its key steps are, and what was decoded ahead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug.errors import PropagationError
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from fdplug.call import Call


@dataclass(frozen=True)
class Window:
    """The steps that the current call of the denoiser answers, and whether the part is computed for them."""

    lane: int
    steps: tuple[int, ...]
    rows: int
    computes: bool


class Lane:
    """The n-th denoiser call of every step: guidance by separate calls keeps its own features and predictions."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.shape: torch.Size | None = None
        self.conditioning: list[Tensor] = []
        self.predictions: dict[int, Any] = {}

    def fits(self, call: Call) -> bool:
        """Whether the features kept are for a batch like that of `call`."""
        return self.shape == call.sample.shape

    def conditioned_on(self, call: Call) -> bool:
        """Whether the predictions kept were made for the very conditioning of `call`."""
        tensors = call.conditioning
        return len(tensors) == len(self.conditioning) and all(map(_same, tensors, self.conditioning))


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values, as far as that can be told without waiting for an accelerator."""
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return True
    return one.device.type == "cpu" and torch.equal(one, other)


class Run:
    """One pass over the scheduler's timesteps, from `set_timesteps` on."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.schedule: Schedule | None = None
        self.step = 0
        self.prior: Tensor | None = None
        self.one_by_one = False
        self._calls = 0
        self._lanes: dict[int, Lane] = {}
        self._decision: tuple[int, bool] = (-1, False)

    @property
    def over(self) -> bool:
        """Whether every step has been taken."""
        return self.schedule is not None and self.step >= self.schedule.num_steps

    def start(self, timestep: Any) -> Schedule:
        """Read the scheduler's timesteps and find the step with which the run begins."""
        self.timesteps: Tensor = torch.as_tensor(self.scheduler.timesteps)
        values = tuple(float(value) for value in self.timesteps.tolist())
        train = int(getattr(self.scheduler.config, "num_train_timesteps", 1000))
        self.step = self._first_step(values, timestep)
        self.schedule = Schedule(values, self.step, train)
        self._scales = self._noise_scales(values)
        return self.schedule

    def _first_step(self, values: tuple[float, ...], timestep: Any) -> int:
        begin = getattr(self.scheduler, "begin_index", None)
        if begin is not None:
            return int(begin)
        value = _number(timestep)
        if value not in values:
            raise PropagationError(
                f"the denoiser was called with timestep {value:g}, which is not among the scheduler's "
                f"({some(values)}): this pipeline does not follow its scheduler, so fdplug cannot accelerate it"
            )
        return values.index(value)

    def _noise_scales(self, values: tuple[float, ...]) -> list[float]:
        """Per step, the standard deviation of a sample over that of the run's first one.

        Schedulers on sigmas keep samples of variance 1 + sigma^2; on all others the variance stays 1.
        """
        sigmas = getattr(self.scheduler, "sigmas", None)
        if sigmas is None or float(getattr(self.scheduler, "init_noise_sigma", 1.0)) == 1.0:
            return [1.0] * len(values)
        deviations = [(1 + sigma**2) ** 0.5 for sigma in torch.as_tensor(sigmas).tolist()]
        return [deviations[index] / deviations[self.step] for index in range(len(values))]

    def scaled_prior(self) -> Tensor:
        """The prior on the noise scale of the current step."""
        assert self.prior is not None
        scale = self._scales[self.step]
        return self.prior if scale == 1.0 else self.prior * scale

    def expects(self, timestep: Any) -> bool:
        """Whether the timestep is the current one; timesteps on an accelerator are trusted, not fetched."""
        assert self.schedule is not None
        if isinstance(timestep, Tensor) and timestep.device.type != "cpu":
            return True
        return _number(timestep) == self.schedule.timesteps[self.step]

    def next_lane(self) -> Lane:
        """Return the lane of the denoiser call that now begins."""
        lane = self._lanes.setdefault(self._calls, Lane(self._calls))
        self._calls += 1
        return lane

    def decide(self, is_key: bool) -> bool:
        """Remember the decision for the current step: all calls of one step share it."""
        self._decision = (self.step, is_key)
        return is_key

    @property
    def decision(self) -> bool | None:
        """The decision for the current step, None before it is made."""
        return self._decision[1] if self._decision[0] == self.step else None

    def advance(self) -> None:
        """Go on to the next step."""
        self.step += 1
        self._calls = 0
        if self.over:
            self._lanes = {}
            self.prior = None


def _number(timestep: Any) -> float:
    return float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep)


def some(values: Iterable[float]) -> str:
    """Write the first few of many numbers."""
    listed = list(values)
    shown = ", ".join(f"{value:g}" for value in listed[:5])
    return f"{shown}, ..." if len(listed) > 5 else shown
