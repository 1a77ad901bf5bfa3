"""The state of one run: where it is, what its key steps are, and what was decoded ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug.errors import PropagationError, warn
from fdplug.propagation import messages
from fdplug.propagation.calls.lanes import NEVER, Lane, Lanes
from fdplug.propagation.calls.times import Times
from fdplug.propagation.guided import guide
from fdplug.propagation.plan import Plan
from fdplug.propagation.watching.makeup import Makeup
from fdplug.propagation.watching.watched import Inside
from fdplug.schedule import Schedule

if TYPE_CHECKING:
    from torch import nn

    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.guided import Guided
    from fdplug.propagation.stage import Stage
    from fdplug.propagation.watching.snapshot import Snapshot
    from fdplug.propagation.window import Window


class Run:
    """One pass over the scheduler's timesteps, from the first call of the denoiser on.

    Attributes:
        step: where it is.
        wanted: how many key steps the policy has asked for so far.
        unstepped: whether a step was taken without the scheduler's `step`.
        jumps: how often it has gone to another step than the next.
        window: the steps that the pass of the denoiser answers which is being made; None between passes.
        replayed: whether a module has answered with features that were kept.
        exchanged: whether the denoiser has other attention processors than between runs.
    """

    def __init__(
        self,
        scheduler: Any,
        stages: Sequence[Stage],
        stage: Stage,
        call: Call,
        count: int | None,
        boundary: Callable[[Schedule], int | None],
    ) -> None:
        """Read the scheduler's timesteps, find the step with which the run begins, and make the plan.

        Args:
            scheduler: whose timesteps are gone through.
            stages: the denoisers that a run goes through.
            stage: the one that it begins with.
            call: the first call of the denoiser or of a companion.
            count: how many steps are going to be taken, None where the pipeline does not say.
            boundary: returns the first step of the second stage, None where the run does not go over to it.

        Raises:
            PropagationError: the first timestep is none of the scheduler's, or there is no plan for this run.
        """
        self.scheduler = scheduler
        self.guides: list[Guided] = []
        self.unstepped = self.replayed = self.exchanged = False
        self.jumps = 0
        self.window: Window | None = None
        self._prior: Tensor | None = None
        self.wanted = 0
        self._lanes: dict[str, Lanes] = {}
        self._makeups: dict[int, Makeup] = {}
        self._keys = (NEVER, NEVER)
        self._times = Times(scheduler)
        values = self._times.values
        train = int(getattr(self.scheduler.config, "num_train_timesteps", 1000))
        self.step = self._times.first(call, getattr(self.scheduler, "begin_index", None))
        stop = None if count is None else min(self.step + count, len(values))
        self.schedule = Schedule(values, self.step, train, stop)
        self._deviations = self._noise_deviations()
        self._boundary = boundary(self.schedule) if stage is not stages[-1] else None
        self._planned_as_one = all(one.shares(stage) for one in stages)
        self.stage = stage
        self._work_on(stage)
        self._make_plan()

    @property
    def timesteps(self) -> Tensor:
        """The scheduler's."""
        return self._times.tensor

    def _work_on(self, stage: Stage) -> None:
        self.stage = stage
        self._watch(stage)
        self.inside = Inside(self.watched.inside)

    def _watch(self, stage: Stage) -> None:
        self.watched = stage.watched()
        self._settled: Snapshot | None = None
        self._is_steady = False
        stage.replay.writes = self.watched.is_compiled
        self.exchanged |= self.watched.processors != stage.processors

    def settle(self) -> Snapshot:
        """Return what the denoiser is set to after a pass; whether it stays so is asked before the next one.

        Once a pass has changed nothing, others are trusted not to; one that does so all the same is found by the next.
        """
        before = self._settled
        if before is not None and self._is_steady:
            return before
        self._settled = self.watched.snapshot()
        self._is_steady = self._settled is before
        return self._settled

    def watches_anew(self) -> bool:
        """Whether the denoiser is no longer what it was after the last pass, so that it is looked at once more."""
        if self._settled is None or self.watched.is_as(self._settled):
            return False
        self._watch(self.stage)
        return True

    def _make_plan(self) -> None:
        """Plan for all steps, or for those of the current stage, where each has settings of its own."""
        method, schedule, turn = self.stage.method, self.schedule, self._boundary
        if not self._planned_as_one:
            schedule, turn = replace(schedule, start=self.step, stop=schedule.stop if turn is None else turn), None
        self.guided = guide(method, self.stage.network, schedule)
        self.guides += [self.guided] if self.guided is not None else []
        self.plan = Plan(method, schedule, self.guided, turn)

    def hand_over(self, stage: Stage) -> None:
        """Go on with another denoiser: nothing that was kept for the one before is of use to it."""
        self._work_on(stage)
        self._lanes = {}
        self._keys = (NEVER, NEVER)
        self._boundary = None
        if not self._planned_as_one:
            self._make_plan()
            return
        self.plan.hand_over(self.step, stage.method)
        if self.guided is not None:
            self.guided.hand_over(stage.network)

    def makeup(self, network: nn.Module) -> tuple[Snapshot, Mapping[str, nn.Module]]:
        """Return what decides the cost of a network's passes, and its modules.

        The same object is returned for as long as that stays the same.
        """
        if id(network) not in self._makeups:
            self._makeups[id(network)] = self.stage.makeup() if network is self.stage.network else Makeup(network)
        makeup = self._makeups[id(network)]
        return makeup.now(), makeup.modules

    @property
    def couples_rows(self) -> bool:
        """Whether rows of a batch may see each other anywhere, so that what a pass costs is known for whole batches."""
        return self.watched.couples_anywhere

    @property
    def over(self) -> bool:
        """Whether every step has been taken."""
        return self.step >= self.schedule.end

    def rows_apart(self, call: Call) -> bool:
        """Whether rows of a call are at timesteps of their own; on an accelerator the first call alone is asked."""
        return self._times.rows_apart(call, self.step, ask=self.step == self.schedule.start)

    def _noise_deviations(self) -> list[float] | None:
        """Per step, the standard deviation of a sample; None where it is always 1.

        Schedulers on sigmas keep samples of variance 1 + sigma^2; on all others the variance stays 1.
        """
        sigmas = getattr(self.scheduler, "sigmas", None)
        if sigmas is None or float(getattr(self.scheduler, "init_noise_sigma", 1.0)) == 1.0:
            return None
        return [(1 + sigma**2) ** 0.5 for sigma in torch.as_tensor(sigmas).tolist()]

    def prior(self, sample: Tensor) -> Tensor:
        """Return the sample with which the run began, on the noise scale of the current step.

        Args:
            sample: the current one; the first of its shape is the prior.

        Raises:
            PropagationError: the scheduler does not say how noisy a sample is at the current step.
        """
        if self._prior is None or self._prior.shape != sample.shape:
            self._prior = sample
        if self._deviations is None:
            return self._prior
        if self.step >= len(self._deviations):
            raise PropagationError(messages.few_sigmas(self.scheduler, len(self._deviations), self.step))
        scale = self._deviations[self.step] / self._deviations[self.schedule.start]
        return self._prior if scale == 1.0 else self._prior * scale

    def follow(self, call: Call) -> bool:
        """Whether the call belongs to this run; go to its step where the pipeline has gone back or ahead to another.

        A pipeline that jumps hands over an element of the scheduler's own timesteps, so its place is known. Otherwise
        the value must be that of the current step, or of the next one where a loop takes steps by a formula of its own;
        values on an accelerator are trusted, not fetched.
        """
        if self._times.changed:
            self._times.read()
            if any(lanes.pending for lanes in self._lanes.values()):
                self.void("timesteps")
        place = self._times.place(call.timestep)
        if place is not None:
            if place == self.step + 1 and self.called:
                self._step_unseen()
            elif place != self.step:
                self._jump(place)
            return True
        if self.over:
            return False
        if isinstance(call.timestep, Tensor) and call.timestep.device.type != "cpu":
            return True
        if self._times.at(call, self.step):
            return True
        if self.called and self._times.at(call, self.step + 1):
            self._step_unseen()
            return True
        return False

    @property
    def called(self) -> bool:
        """Whether the current step has had a call."""
        return any(lanes.called(self.step) for lanes in self._lanes.values())

    def _step_unseen(self) -> None:
        """Go on to the next step, as the loop has done without the scheduler."""
        self.unstepped = True
        self.advance()

    def _jump(self, step: int) -> None:
        """Go to another step; nothing kept is of use there, so that it becomes a key step.

        Where that happens again and again, nothing more is decoded ahead: it would be in vain.
        """
        self.jumps += 1
        self.plan.one_by_one |= self.jumps > 1
        self.step = step
        self._lanes = {}
        self.stage.replay.clear()
        self._keys = (NEVER, NEVER)
        self.plan.ask_again()

    def lane(self, call: Call, by_place: bool = False) -> Lane:
        """Return the lane of a call that now begins: that of the calls which were given the same.

        One that is given something new has a lane of its own, in which nothing is kept yet.

        Args:
            call: the call.
            by_place: take it for the next lane of the step, where none was given the same.
        """
        lanes = self._lanes_of(call.role.component)
        lane = lanes.find(call, self.step) or (lanes.next(self.step) if by_place else None)
        lane = lane or lanes.open(call, self.step)
        lane.step = self.step
        return lane

    def _lanes_of(self, component: str) -> Lanes:
        """Return the lanes of a network; those of the denoiser keep features, a companion's its outputs themselves."""
        if component not in self._lanes:
            keeps = component == self.stage.component
            self._lanes[component] = Lanes(self.stage.replay.free if keeps else _nothing)
        return self._lanes[component]

    def fits(self, lane: Lane, call: Call) -> bool:
        """Whether what a lane keeps is for a batch like that of `call`, and not from before the last key step."""
        return lane.fits(call, max(key for key in (NEVER, *self._keys) if key < self.step))

    def without_call(self, component: str) -> list[Lane]:
        """Return the lanes of a companion that have had no call in this step, but had in earlier ones."""
        lanes = self._lanes.get(component)
        return [] if lanes is None else lanes.without_call(self.step)

    def lose(self, component: str) -> None:
        """Forget what a network has answered that is no more in the pipeline."""
        self._lanes.pop(component, None)

    def drop_predictions(self) -> None:
        """Drop what was decoded ahead."""
        for lanes in self._lanes.values():
            lanes.drop_predictions()

    def is_key(self, sample: Tensor) -> bool:
        """Whether the current step is a key step."""
        key = self.plan.is_key(self.step, sample)
        if key and self._keys[-1] != self.step:
            self._keys = (self._keys[-1], self.step)
            self.wanted += 1
        return key

    def advance(self) -> None:
        """Go on to the next step."""
        if any([lanes.settle(self.step) for lanes in self._lanes.values()]):
            self.void("conditioning")
        self.step += 1
        if self.over:
            self._lanes = {}
            self._prior = self._settled = None
            self.watched.forget()

    def void(self, what: str) -> None:
        """Drop what was decoded ahead, as something has changed, and decode step by step from now on."""
        self.plan.one_by_one = True
        self.drop_predictions()
        warn(f"the {what} changed within a span: the rest of this run is decoded one step at a time")


def _nothing(lane: int) -> None:
    """Free nothing."""
