"""The state of one run: where it is, what its key steps are, and what was decoded ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug.errors import PropagationError
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from fdplug.propagation.call import Call


class Lane:
    """The n-th call of a network in every step: guidance by separate calls keeps its own features and predictions.

    A companion, such as a ControlNet, keeps its output instead.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.shape: torch.Size | None = None
        self.conditioning: list[Any] = []
        self.predictions: dict[int, Any] = {}
        self.output: Any = None

    def fits(self, call: Call) -> bool:
        """Whether the features kept are for a batch like that of `call`."""
        return self.shape == call.sample.shape

    def conditioned_on(self, call: Call) -> bool:
        """Whether what is kept was made for the conditioning of `call`."""
        given = call.conditioning
        return len(given) == len(self.conditioning) and all(map(_same, given, self.conditioning))


def _same(one: Any, other: Any) -> bool:
    """Whether two values or tensors are the same.

    Most pipelines hand over one tensor at every step; values are compared only where a new one is built each time, and
    only then is an accelerator waited for.
    """
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return one == other
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return True
    return torch.equal(one, other)


class Run:
    """One pass over the scheduler's timesteps, from `set_timesteps` on."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.schedule: Schedule | None = None
        self.step = 0
        self.prior: Tensor | None = None
        self.one_by_one = False
        self._calls: Counter[str] = Counter()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._decision: tuple[int, bool] = (-1, False)

    @property
    def over(self) -> bool:
        """Whether every step has been taken."""
        return self.schedule is not None and self.step >= self.schedule.end

    def start(self, call: Call, count: int | None) -> Schedule:
        """Read the scheduler's timesteps, find the step with which the run begins, and after how many it ends."""
        self.timesteps: Tensor = torch.as_tensor(self.scheduler.timesteps)
        self._on_host = self.timesteps.cpu()  # compared with at every step: an accelerator is waited for here alone
        values = tuple(float(value) for value in self._on_host.tolist())
        train = int(getattr(self.scheduler.config, "num_train_timesteps", 1000))
        self.step = self._first_step(values, call)
        stop = None if count is None else min(self.step + count, len(values))
        self.schedule = Schedule(values, self.step, train, stop)
        self._scales = self._noise_scales(values)
        return self.schedule

    def _first_step(self, values: tuple[float, ...], call: Call) -> int:
        begin = getattr(self.scheduler, "begin_index", None)
        place = self._place(call.timestep) if begin is None else int(begin)
        if place is not None:
            return place
        matching = [index for index in range(len(values)) if call.is_at(self._on_host[index : index + 1])]
        if not matching:
            raise PropagationError(
                f"the denoiser was called with timestep {shown(call.timestep)}, which is not among the scheduler's "
                f"({some(values)}): this pipeline does not follow its scheduler, so fdplug cannot accelerate it"
            )
        return matching[0]

    def _place(self, timestep: Any) -> int | None:
        """Return which of the scheduler's timesteps this is, if it is one of that very tensor's elements."""
        if not isinstance(timestep, Tensor) or timestep.device != self.timesteps.device:
            return None
        offset = timestep.data_ptr() - self.timesteps.data_ptr()
        inside = timestep.numel() and 0 <= offset < self.timesteps.nbytes
        return offset // self.timesteps.element_size() if inside else None

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

    def follow(self, call: Call) -> bool:
        """Whether the call belongs to this run; go to its step where the pipeline has gone back or ahead to another.

        A pipeline that jumps hands over an element of the scheduler's own timesteps, so its place is known. Otherwise
        the value must be that of the current step; values on an accelerator are trusted, not fetched.
        """
        place = self._place(call.timestep)
        if place is not None:
            if place != self.step:
                self._jump(place)
            return True
        if self.over:
            return False
        if isinstance(call.timestep, Tensor) and call.timestep.device.type != "cpu":
            return True
        return call.is_at(self._on_host[self.step : self.step + 1])

    def _jump(self, step: int) -> None:
        """Go to another step; nothing kept is of use there, so that it becomes a key step."""
        self.step = step
        self._calls.clear()
        self._lanes = {}
        self._decision = (-1, False)

    def next_lane(self, network: str) -> Lane:
        """Return the lane of the call of `network` that now begins."""
        index = self._calls[network]
        self._calls[network] += 1
        return self._lanes.setdefault((network, index), Lane(index))

    def drop_predictions(self) -> None:
        """Drop what was decoded ahead."""
        for lane in self._lanes.values():
            lane.predictions.clear()

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
        self._calls.clear()
        if self.over:
            self._lanes = {}
            self.prior = None


def shown(timestep: Any) -> str:
    """Write a timestep, which may be a tensor of one value or of several equal ones."""
    return f"{float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep):g}"


def some(values: Iterable[float]) -> str:
    """Write the first few of many numbers."""
    listed = list(values)
    shown = ", ".join(f"{value:g}" for value in listed[:5])
    return f"{shown}, ..." if len(listed) > 5 else shown
