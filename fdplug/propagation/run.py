"""The state of one run: where it is, what its key steps are, and what was decoded ahead."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug.errors import PropagationError
from fdplug.propagation.messages import shown, some
from fdplug.propagation.plan import Plan
from fdplug.propagation.watched import Watched, version
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from fdplug.propagation.call import Call
    from fdplug.propagation.method import Method


class Lane:
    """The n-th call of a network in every step: guidance by separate calls keeps its own features and predictions.

    A companion, such as a ControlNet, keeps its output instead.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.conditioning: list[Any] = []
        self.stamp: tuple[Any, ...] = ()
        self._kind: tuple[Any, ...] = ()
        self._versions: list[int] = []
        self.predictions: dict[int, Any] = {}
        self.output: Any = None

    def fits(self, call: Call) -> bool:
        """Whether the features kept are for a batch like that of `call`."""
        return self._kind == _kind(call.sample)

    def keep(self, call: Call, conditioning: bool = True) -> None:
        """Learn that what is kept is for a batch like that of `call`, and was made for its conditioning."""
        self._kind = _kind(call.sample)
        self.conditioning = call.conditioning if conditioning else []
        self._versions = [version(one) for one in self.conditioning if isinstance(one, Tensor)]

    def conditioned_on(self, call: Call) -> bool:
        """Whether what is kept was made for the conditioning of `call`."""
        if [version(one) for one in self.conditioning if isinstance(one, Tensor)] != self._versions:
            return False  # changed in place
        given = call.conditioning
        return len(given) == len(self.conditioning) and all(map(_same, given, self.conditioning))


def _kind(sample: Tensor) -> tuple[Any, ...]:
    return sample.shape, sample.dtype, sample.device


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
    """One pass over the scheduler's timesteps, from the first call of the denoiser on."""

    def __init__(self, scheduler: Any, method: Method, call: Call, count: int | None, watched: Watched) -> None:
        """Read the scheduler's timesteps, find the step with which the run begins, and make the plan.

        Args:
            scheduler: whose timesteps are gone through.
            method: what to plan with.
            call: the first call of the denoiser or of a companion.
            count: how many steps are going to be taken, None where the pipeline does not say.
            watched: what is computed at replayed steps.

        Raises:
            PropagationError: the first timestep is none of the scheduler's, or there is no plan for this run.
        """
        self.scheduler = scheduler
        self.watched = watched
        self._prior: Tensor | None = None
        self._calls: Counter[str] = Counter()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self.timesteps: Tensor = torch.as_tensor(self.scheduler.timesteps)
        self._on_host = self.timesteps.cpu()  # compared with at every step: an accelerator is waited for here alone
        values = tuple(float(value) for value in self._on_host.tolist())
        train = int(getattr(self.scheduler.config, "num_train_timesteps", 1000))
        self.step = self._first_step(values, call)
        stop = None if count is None else min(self.step + count, len(values))
        self.schedule = Schedule(values, self.step, train, stop)
        self._scales = self._noise_scales(values)
        self.plan = Plan(method, self.schedule)

    @property
    def over(self) -> bool:
        """Whether every step has been taken."""
        return self.step >= self.schedule.end

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

    def prior(self, sample: Tensor) -> Tensor:
        """Return the sample with which the run began, on the noise scale of the current step.

        Args:
            sample: the current one; the first of its shape is the prior.
        """
        if self._prior is None or self._prior.shape != sample.shape:
            self._prior = sample
        scale = self._scales[self.step]
        return self._prior if scale == 1.0 else self._prior * scale

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
        self.plan.ask_again()

    def next_lane(self, network: str) -> Lane:
        """Return the lane of the call of `network` that now begins."""
        index = self._calls[network]
        self._calls[network] += 1
        return self._lanes.setdefault((network, index), Lane(index))

    def drop_predictions(self) -> None:
        """Drop what was decoded ahead."""
        for lane in self._lanes.values():
            lane.predictions.clear()

    def is_key(self, sample: Tensor) -> bool:
        """Whether the current step is a key step."""
        return self.plan.is_key(self.step, sample)

    def advance(self) -> None:
        """Go on to the next step."""
        self.step += 1
        self._calls.clear()
        if self.over:
            self._lanes = {}
            self._prior = None
