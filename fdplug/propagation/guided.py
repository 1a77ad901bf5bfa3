"""Guidance while a pipeline runs: which rows of a call run at a step, and what stands for those that are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.denoisers.guidance_rows import CONDITIONAL, PERTURBED, GuidanceRows
from fdplug.errors import NoEffectWarning, PropagationError, warn
from fdplug.guidance import Full, Guidance
from fdplug.propagation import messages
from fdplug.propagation.calls.caller import Caller
from fdplug.propagation.watching.perturbation import UNPERTURBED, unperturbed
from fdplug.propagation.watching.rows import across_rows
from fdplug.propagation.window import EVERY_ROW, Rows

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.denoisers import DenoiserFamily
    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.method import Method
    from fdplug.schedule import Schedule

    Compute = Callable[[Call, Rows], Any]


class Guided:
    """The guidance of one run.

    Attributes:
        left_out: how many rows were answered without being run.
    """

    def __init__(self, guidance: Guidance, family: DenoiserFamily, schedule: Schedule, network: nn.Module) -> None:
        """Ask the guidance about a run that begins.

        Raises:
            PropagationError: it names steps that the run does not have, or it is not known what the rows stand for.
        """
        self.left_out = 0
        self._guidance, self._family, self._schedule, self._network = guidance, family, schedule, network
        self._rows = rows_of(guidance, family, self._caller().pipe)
        guidance.begin(schedule)
        self._chosen = guidance.full_steps(schedule)
        outside = sorted(self._chosen - set(range(schedule.num_steps)))
        if outside:
            raise PropagationError(
                f"guidance '{guidance.name}' asks for all rows at steps {messages.some(outside)}, but this run has "
                f"{schedule.num_steps} steps, 0 to {schedule.num_steps - 1}; choose steps inside it"
            )
        self._asked = False
        self._place = (-1, 0)
        self._on = bool(self._order())
        self._decided: dict[int, bool] = {}
        self._returns: dict[int, bool] = {}
        self._complete = False
        self._conditional: tuple[int, Any] = (-1, None)
        self._learns = type(guidance).observe is not Guidance.observe
        self._new_at = schedule.start

    def hand_over(self, network: nn.Module) -> None:
        """Learn that another denoiser goes on."""
        self._network = network

    # --- which rows run ----------------------------------------------------------------------------------------------

    def is_full(self, step: int) -> bool:
        """Whether all rows run at a step."""
        if step not in self._decided:
            self._decided[step] = self._guidance.is_full_step(self._schedule.step(step), self._chosen)
        return self._decided[step]

    def ask_again(self) -> None:
        """Forget what was decided: the run has gone to another step, and nothing is kept."""
        self._decided.clear()
        self._returns.clear()
        self._complete, self._place = False, (-1, 0)

    def returns(self, step: int) -> bool:
        """Whether rows run again at a step whose features are older than those of the conditional rows.

        Such a step is a key step: features of different steps do not belong together.
        """
        if step not in self._returns:
            self._returns[step] = self._on and not self._complete and self.is_full(step)
        return self._returns[step]

    def computed(self, step: int) -> None:
        """Learn that the part was computed for the rows that run at a step."""
        self._complete = self.is_full(step)

    def returning(self, keys: frozenset[int]) -> frozenset[int]:
        """Return the steps at which rows run again after key steps without them, as far as that is known beforehand."""
        if self._guidance.stepwise or not self._on:
            return frozenset()
        found, complete = set(), False
        for step in range(self._schedule.start, self._schedule.end):
            back = self.is_full(step) and not complete
            if back and step != self._schedule.start:
                found.add(step)
            if back or step in keys or step == self._schedule.start:
                complete = self.is_full(step)
        return frozenset(found)

    def _alike(self, full: bool) -> frozenset[int] | None:
        """Return the steps at which as many rows run; None where that is decided as the run goes on."""
        if self._guidance.stepwise:
            return None
        steps = range(self._schedule.start, self._schedule.end)
        return frozenset(step for step in steps if self.is_full(step) is full)

    def _order(self) -> tuple[str, ...]:
        """Return what the rows of the current step stand for, in their order; empty where it is not guided."""
        caller = self._caller()
        guides = caller.says("do_classifier_free_guidance", "do_true_cfg")
        if guides is None and self._rows.scale:
            guides = caller.is_above(self._rows.scale, 1)
        if self._rows.separate:
            return () if guides is False else self._rows.order  # a second call is said to be one by its being made
        order = self._rows.order if guides else ()
        return (*(order or (CONDITIONAL,)), PERTURBED) if caller.says("do_perturbed_attention_guidance") else order

    def _caller(self) -> Caller:
        caller = Caller.now()
        if caller is None:
            raise PropagationError(
                f"guidance '{self._guidance.name}' leaves rows out of a pipeline's batch, and this is a loop of one's "
                "own, of which it is not known what the rows stand for: hand over only the rows that you want, with "
                "guidance='full'"
            )
        return caller

    # --- one call of the denoiser ------------------------------------------------------------------------------------

    def answer(self, step: int, call: Call, compute: Compute, is_new: bool = False) -> Any:
        """Return the prediction for a call: computed, or made up for rows that are left out.

        A batch of guidance is the first call of a step; separate calls come in the order of the family.

        Args:
            step: the current step.
            call: what the denoiser was given.
            compute: returns the prediction for a call, or for some of its rows.
            is_new: whether it is given what no call of the step before was.
        """
        if is_new and self._learns and self._new_at != step:
            self._learn_anew(step)
        order = self._order()
        self._on = bool(order)
        number = self._place[1] if self._place[0] == step else 0
        self._place = step, number + 1
        if number >= (len(order) if self._rows.separate else bool(order)):
            return compute(call, EVERY_ROW)
        if self._rows.separate:
            return self._one_call(step, order[number], call, compute)
        return self._batch(step, order, call, compute)

    def _learn_anew(self, step: int) -> None:
        """Run all rows: what full steps have shown was about other prompts, another batch or another step."""
        self._new_at = step
        self._guidance.begin(self._schedule)
        self._decided[step] = True
        self._returns.pop(step, None)

    def _batch(self, step: int, order: tuple[str, ...], call: Call, compute: Compute) -> Any:
        self._asked = True
        if call.rows % len(order):
            raise PropagationError(
                f"a guided batch of {call.rows} rows does not hold {len(order)} equal shares ({', '.join(order)}), so "
                "that no row can be left out: take guidance='full'"
            )
        if self.is_full(step):
            output = compute(call, Rows(order, self._alike(full=True)))
            shares = {name: self._share(output, call, order, name) for name in order}
            for name in order:
                self._observe(step, name, shares[CONDITIONAL], shares[name])
            return output
        self._refuse_coupled()
        own = call.share(order.index(CONDITIONAL), len(order))
        with unperturbed(self._network, PERTURBED in order):
            output = compute(own, Rows((CONDITIONAL,), self._alike(full=False)))
        self.left_out += call.rows - own.rows
        self._share(output, own, (CONDITIONAL,), CONDITIONAL)
        made = [self._made(step, name, output) for name in order]
        return trees.join_rows(made)

    def _one_call(self, step: int, name: str, call: Call, compute: Compute) -> Any:
        if name == CONDITIONAL:
            output = compute(call, EVERY_ROW)
            self._conditional = step, output
            return output
        self._asked = True
        if self.is_full(step):
            output = compute(call, Rows((), self._alike(full=True)))
            self._observe(step, name, self._conditional[1], output)
            return output
        self.left_out += call.rows
        return trees.map_tensors(lambda tensor: tensor.clone(), self._made(step, name, self._conditional[1]))

    def _share(self, output: Any, call: Call, order: tuple[str, ...], name: str) -> Any:
        """Return the rows of a prediction that stand for `name`."""
        for one in trees.leaves(output):
            if one.dim() == 0 or one.shape[0] != call.rows:
                raise PropagationError(
                    f"the denoiser answers {call.rows} rows with a tensor of shape {tuple(one.shape)}, of which it is "
                    "not known what belongs to which row: take guidance='full'"
                )
        size, place = call.rows // len(order), order.index(name)
        return trees.cut_rows(output, call.rows, place * size, (place + 1) * size)

    def _observe(self, step: int, name: str, conditional: Any, other: Any) -> None:
        if name != CONDITIONAL:
            pairs = zip(trees.leaves(conditional), trees.leaves(other), strict=True)
            for place, (one, two) in enumerate(pairs):
                self._guidance.observe(self._schedule.step(step), _named(name, place), one, two)

    def _made(self, step: int, name: str, conditional: Any) -> Any:
        """Return what stands for the prediction `name`, made of the conditional one."""
        if name == CONDITIONAL:
            return conditional
        at, places = self._schedule.step(step), iter(range(len(trees.leaves(conditional))))

        def make(tensor: Tensor) -> Tensor:
            return self._guidance.predict(at, _named(name, next(places)), tensor)

        return trees.map_tensors(make, conditional)

    def _refuse_coupled(self) -> None:
        if self._family.couples_rows(self._network):
            raise PropagationError(messages.rows_coupled(self._guidance.name, type(self._family).__name__))
        who = across_rows(self._network, self._family.known_class(self._network), UNPERTURBED)
        if who is not None:
            raise PropagationError(messages.rows_coupled(self._guidance.name, who) + messages.DECLARE)

    # --- the end of a run --------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Warn if no row was left out."""
        if self.left_out:
            return
        why = "all rows ran at every step: choose fewer full steps"
        if not self._asked:
            why = "this run has no rows but the conditional ones: give it a guidance scale above 1 (and a negative"
            why += " prompt, where the model wants one)"
        warn(f"guidance '{self._guidance.name}' changed nothing: {why}, or take guidance='full'", NoEffectWarning)


def guide(method: Method, network: nn.Module, schedule: Schedule) -> Guided | None:
    """Return the guidance of a run that begins; None where the pipeline's own is left alone."""
    return None if isinstance(method.guidance, Full) else Guided(method.guidance, method.family, schedule, network)


def rows_of(guidance: Guidance, family: DenoiserFamily, pipe: Any) -> GuidanceRows:
    """Return what the rows of a pipeline's guided batches stand for.

    Raises:
        PropagationError: it is not known.
    """
    rows = family.guidance_rows(pipe)
    if rows is None:
        raise PropagationError(
            f"guidance '{guidance.name}' leaves rows out, and family '{family.name}' does not know what the rows of "
            f"{type(pipe).__name__} stand for: take guidance='full', or register a family that says so in `guidance`"
        )
    return rows


def conditional_rows(tensor: Tensor, groups: tuple[str, ...]) -> Tensor:
    """Return the rows of the conditional prediction, which run at every step; all where they are not told apart."""
    return tensor.chunk(len(groups))[groups.index(CONDITIONAL)] if groups else tensor


def _named(name: str, place: int) -> str:
    """Return what the tensor at `place` of a prediction is called; most have a single one."""
    return f"{name}.{place}" if place else name
