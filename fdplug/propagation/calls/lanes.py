"""Which call of a step is this: guidance by separate calls keeps features and predictions for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fdplug.propagation.calls.given import Given

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.propagation.calls.call import Call

NEVER = -1


class Lane:
    """The calls of a network, one in a step at most, that are given the same batch, conditioning and options.

    A companion, such as a ControlNet, keeps its output instead of features.

    Attributes:
        index: what tells its features from those of other lanes.
        step: the last one with a call.
        opened: the step of the first call.
        predictions: what was decoded ahead, by step.
        snapshot: what the denoiser was set to then.
        output: what a companion answered.
        example: which of the ledger's examples its calls are like.
        makeup: what the network was made of then.
        kept: where the rows of its calls are told apart: the last step for each of them, and their kind.
    """

    def __init__(self, index: int, call: Call, step: int) -> None:
        self.index = index
        self.opened = step
        self.step = NEVER
        self.predictions: dict[int, Any] = {}
        self.snapshot: Any = None
        self.output: Any = None
        self.example = ""
        self.makeup: Any = None
        self._kept_at = NEVER
        self._residuals: Given | None = None
        self._shares: dict[tuple[str, ...], Lane] = {}
        self.kept: dict[str, tuple[int, Any]] = {}
        self._learn(call)

    def _learn(self, call: Call) -> None:
        self.kind = kind(call.sample)
        self.given = call.given

    @property
    def rows(self) -> int:
        """How many rows its calls have."""
        return int(self.kind[0][0])

    def keep(self, call: Call, step: int, ahead: bool = False) -> None:
        """Learn that what is kept was made for `call` at `step`; `ahead` for further steps too."""
        self._learn(call)
        self._kept_at = step
        self._residuals = call.residuals if ahead else None

    def fits(self, call: Call, since: int) -> bool:
        """Whether features are kept for a batch like that of `call`, from the key step `since` or later."""
        return self._kept_at >= max(since, 0) and self.kind == kind(call.sample)

    def is_given(self, call: Call) -> bool:
        """Whether `call` is given what the last one was."""
        return not self.given.changed and self.given.equals(call.given)

    def has_residuals(self, call: Call) -> bool:
        """Whether `call` is given the residuals that what was decoded ahead was made for."""
        kept = self._residuals
        return kept is not None and not kept.changed and kept.equals(call.residuals)

    def share(self, groups: tuple[str, ...], call: Call) -> Lane:
        """Return the lane of some of the rows of its calls, by what they stand for; itself where they are not told.

        Args:
            groups: what the rows stand for, each with as many.
            call: the call for these rows alone.
        """
        if not groups:
            return self
        if groups not in self._shares:
            self._shares[groups] = Share(self, groups, call)
        return self._shares[groups]

    @property
    def has_predictions(self) -> bool:
        """Whether something was decoded ahead for it, or for some of its rows."""
        return any(lane.predictions for lane in (self, *self._shares.values()))

    def drop_predictions(self) -> None:
        """Drop what was decoded ahead."""
        for lane in (self, *self._shares.values()):
            lane.predictions.clear()


class Share(Lane):
    """Some rows of a lane's calls: predictions of their own, and features by what each row stands for."""

    def __init__(self, lane: Lane, groups: tuple[str, ...], call: Call) -> None:
        super().__init__(lane.index, call, lane.opened)
        self.kept = lane.kept
        self._groups = groups

    def keep(self, call: Call, step: int, ahead: bool = False) -> None:
        """Learn that what is kept for these rows was made at `step`."""
        super().keep(call, step, ahead)
        self.kept |= dict.fromkeys(self._groups, (step, self._kind(call)))

    def fits(self, call: Call, since: int) -> bool:
        """Whether features are kept for all of these rows."""
        found = [self.kept.get(group, (NEVER, None)) for group in self._groups]
        return all(step >= max(since, 0) and kind == self._kind(call) for step, kind in found)

    def _kind(self, call: Call) -> tuple[Any, ...]:
        shape, dtype, device = kind(call.sample)
        return shape[0] // len(self._groups), shape[1:], dtype, device


class Lanes:
    """The lanes of one network.

    Args:
        free: called with the number of a lane that is no more, so that another may take it.
    """

    def __init__(self, free: Callable[[int], None]) -> None:
        self._free = free
        self._lanes: list[Lane] = []
        self._spare: list[int] = []
        self._count = 0

    def find(self, call: Call, step: int) -> Lane | None:
        """Return the lane, without a call in this step so far, whose last call was given the same; None if none was."""
        free = [lane for lane in self._lanes if lane.step != step and lane.kind == kind(call.sample)]
        unchanged = [lane for lane in free if not lane.given.changed]
        for lane in unchanged:
            if lane.given.same_objects(call.given):
                return lane
        return next((lane for lane in unchanged if lane.given.equals(call.given)), None)

    @property
    def pending(self) -> bool:
        """Whether something was decoded ahead."""
        return any(lane.has_predictions for lane in self._lanes)

    def without_call(self, step: int) -> list[Lane]:
        """Return those without a call in this step."""
        return [lane for lane in self._lanes if lane.step != step]

    def called(self, step: int) -> bool:
        """Whether there was a call in this step."""
        return any(lane.step == step for lane in self._lanes)

    def next(self, step: int) -> Lane | None:
        """Return the first lane without a call in this step."""
        return next(iter(self.without_call(step)), None)

    def open(self, call: Call, step: int) -> Lane:
        """Return a new lane."""
        lane = Lane(self._spare.pop(0) if self._spare else self._count, call, step)
        self._count = max(self._count, lane.index + 1)
        self._lanes.append(lane)
        return lane

    def settle(self, step: int) -> bool:
        """Let go of what the calls of a step have replaced; return whether that voids what was decoded ahead.

        As many new lanes as there are old ones without a call: these calls are now given something else. Fewer or more:
        calls were left out or added, and what was left out may come back.
        """
        missed = self.without_call(step)
        opened = [lane for lane in self._lanes if lane.opened == step]
        pending = [lane for lane in missed if lane.predictions.pop(step, None) is not None]
        if not opened or len(opened) != len(missed):
            return False
        self._lanes = [lane for lane in self._lanes if lane not in missed]
        for lane in missed:
            self._free(lane.index)
            self._spare.append(lane.index)
        kinds = [lane.kind for lane in opened]
        return any(lane.kind in kinds for lane in pending)

    def drop_predictions(self) -> None:
        """Drop what was decoded ahead."""
        for lane in self._lanes:
            lane.drop_predictions()


def kind(sample: Tensor) -> tuple[Any, ...]:
    """Return what must be alike for features to fit: shape, type and device."""
    return sample.shape, sample.dtype, sample.device
