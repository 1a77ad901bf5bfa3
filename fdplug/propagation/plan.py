"""What a run computes and when: its key steps, the modules of every window, the steps that one call answers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.errors import PropagationError
from fdplug.propagation.messages import some
from fdplug.propagation.span_budget import SpanBudget
from fdplug.propagation.window import EVERY_ROW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from fdplug.propagation.guided import Guided
    from fdplug.propagation.method import Method
    from fdplug.propagation.window import Rows, Window
    from fdplug.schedule import Schedule


class Plan:
    """Which steps of one run are key steps, which modules compute in a window, and how many steps one call answers.

    Attributes:
        one_by_one: whether steps are decoded one at a time from now on.
    """

    def __init__(
        self, method: Method, schedule: Schedule, guided: Guided | None = None, turn: int | None = None
    ) -> None:
        """Ask the policy about a run that begins.

        Args:
            method: what to plan with.
            schedule: the steps to plan for.
            guided: which rows run.
            turn: the step with which another denoiser goes on, so that it is a key step; None: none does.

        Raises:
            PropagationError: it names steps that the run does not have, or is for another number of steps.
        """
        self.one_by_one = not method.parallel
        self._method = method
        self._schedule = schedule
        self._guided = guided
        self._turns = frozenset() if turn is None else frozenset({turn})
        self._chosen = method.policy.key_steps(schedule)
        self._decisions: dict[int, bool] = {}
        self._observed: int | None = None
        self._find_keys()

    def _find_keys(self) -> None:
        """Put together what the policy chose, for all modules or for each, and what guidance and denoisers add."""
        self._by_module = self._module_keys()
        self._keys = self._chosen.union(*self._by_module.values())
        self._check()
        self._keys |= self._turns
        if self._guided is not None:
            self._keys |= self._guided.returning(self._keys)

    def hand_over(self, step: int, method: Method) -> None:
        """Plan the run from `step` on for another denoiser: by the same policy, for the modules that it has."""
        self.one_by_one = not method.parallel
        self._method = method
        self._turns |= {step}
        self._find_keys()

    def _module_keys(self) -> Mapping[str, frozenset[int]]:
        """Return the key steps of modules that have their own: chained ones have those of the end of their chain."""
        part = self._method.part
        kept = tuple(name for name in part.modules if name not in part.chained)
        named = self._method.policy.module_key_steps(self._schedule, kept)
        if not named:
            return {}
        found: dict[str, frozenset[int]] = {}
        keys: frozenset[int] = frozenset()
        for name in reversed(part.modules):
            found[name] = keys = keys if name in part.chained else named.get(name, frozenset())
        return found

    def _check(self) -> None:
        made_for, steps = self._method.made_for, self._schedule.num_steps
        if made_for is not None and steps != made_for[0]:
            raise PropagationError(
                f"{made_for[1]} is for {made_for[0]} denoiser calls, this run has {steps}; call the pipeline with the "
                "preset's arguments, or take fdplug.presets.load(...).rescaled(steps)"
            )
        outside = sorted(self._keys - set(range(self._schedule.num_steps)))
        if outside:
            steps = self._schedule.num_steps
            raise PropagationError(
                f"policy '{self._method.policy.name}' asks for key steps {some(outside)}, but this run has {steps} "
                f"steps, 0 to {steps - 1}; choose key steps inside it"
            )

    def is_key(self, step: int, sample: Tensor) -> bool:
        """Whether a step is a key step; the policy is asked once a step, which all calls of it share."""
        if step not in self._decisions:
            chosen = self._method.policy.is_key_step(self._schedule.step(step), sample, self._keys)
            self._decisions[step] = chosen or step in self._turns or self.rows_return(step)
        return self._decisions[step]

    def rows_return(self, step: int) -> bool:
        """Whether rows that guidance left out at the last key step run again, so that every module is computed."""
        return self._guided is not None and self._guided.returns(step)

    def is_undecided(self, step: int) -> bool:
        """Whether a step is to be decided by the part's probe, which has not run yet."""
        return self._method.policy.probes and step not in self._decisions

    def observe(self, step: int, sample: Tensor, answer: Any) -> None:
        """Tell the policy what a computed step predicted: its first call, if there are several."""
        if self._observed != step:
            self._observed = step
            self._method.policy.observe(self._schedule.step(step), sample, next(iter(trees.leaves(answer))))

    def ask_again(self) -> None:
        """Forget what was decided: the run has gone to another step."""
        self._decisions.clear()
        self._observed = None
        if self._guided is not None:
            self._guided.ask_again()

    def computes(self, module: str, window: Window) -> bool:
        """Whether a module is computed in a window: all at key steps, or each at its own, unless nothing kept fits."""
        if window.portion is not None:
            return False
        own = self._by_module.get(module)
        return window.computes if own is None or window.fresh else window.steps[0] in own

    def span(self, step: int, sample: Tensor, count: int | None = None, rows: Rows = EVERY_ROW) -> tuple[int, ...]:
        """Return the steps that a call at `step` answers: the rest of the span, or as much as memory allows.

        Args:
            step: the current one.
            sample: what the denoiser is given.
            count: how many of its rows run; None: all.
            rows: which they are; the call answers the steps of the span at which just these run.
        """
        if self.one_by_one:
            return (step,)
        end = min((key for key in self._keys if key > step), default=self._schedule.end)
        steps = [one for one in range(step, min(end, self._schedule.end)) if rows.steps is None or one in rows.steps]
        return tuple(steps[: self._share(step, len(steps), sample, sample.shape[0] if count is None else count)])

    def _share(self, step: int, steps: int, sample: Tensor, count: int) -> int:
        """Return how many of `steps` steps to decode at once: all, or the first of equal shares that are small enough.

        Where span lengths depend on measured memory, the first call of a run is the one that is measured. It answers
        one step in every run, so that each gives the same images.
        """
        limit = self._method.max_span_batch
        if limit is None:
            return steps
        if isinstance(limit, SpanBudget):
            if step == self._schedule.start:
                return 1
            limit = limit.rows(sample)
        most = max(1, limit * self._method.decoding.ranks // count)
        return -(-steps // -(-steps // most))

    def measuring(self, sample: Tensor, steps: int, rows: int) -> AbstractContextManager[None]:
        """Return the context of a call of the denoiser; it measures memory if that is not known and needed."""
        budget = self._method.max_span_batch
        if steps > 1 or not self._method.parallel or not isinstance(budget, SpanBudget) or budget.knows(sample):
            return nullcontext()
        return budget.measuring(sample, rows)
