"""What modules add to their input: the difference of an output and of that input which has its shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from fdplug import trees
from fdplug.errors import PropagationError


class Residual:
    """The input of a part at the current step, and what the part adds to it.

    An output without an input of its shape, such as a text that the blocks change along with the picture but that
    nothing reads behind them, is kept as it is.
    """

    def __init__(self) -> None:
        self._given: list[Tensor] = []

    def begin(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Learn what the first module of the part is given."""
        self._given = _inputs(args, kwargs)

    def clear(self) -> None:
        """Forget it."""
        self._given = []

    def of(self, outputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return what was added to the input.

        Raises:
            PropagationError: no output has the shape of an input, or an output that of several.
        """
        listed = list(outputs)
        bases = [_base(self._given, one) for one in listed]
        if all(base is None for base in bases):
            shapes = ", ".join(str(tuple(one.shape)) for one in listed)
            raise PropagationError(
                f"what the part hands on, {shapes}, has not the shape of what it is given, so that there is no "
                "difference to keep; take part='trunk'"
            )
        return tuple(one if base is None else one - base for one, base in zip(listed, bases, strict=True))

    def onto(self, residuals: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return what was kept, added to the input of the current step."""
        pairs = [(one, _base(self._given, one)) for one in residuals]
        return tuple(one if base is None else base + one for one, base in pairs)


def added(args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> Tensor:
    """Return what one module adds to its input: to the first one, of those whose shape an output has.

    Raises:
        PropagationError: there is none.
    """
    results = _tensors(output)
    for base in _inputs(args, kwargs):
        for one in results:
            if one.shape == base.shape:
                return one - base
    raise PropagationError(
        "the probe hands on nothing that has the shape of what it is given, so that a policy cannot decide by what "
        "it adds; take another policy"
    )


def _inputs(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return what a module is given, the picture first: diffusers' blocks call it `hidden_states`."""
    return _tensors((args, kwargs.get("hidden_states"), kwargs))


def _tensors(tree: Any) -> list[Tensor]:
    unique = {id(one): one for one in trees.leaves(tree) if one.is_floating_point()}
    return list(unique.values())


def _base(given: Sequence[Tensor], output: Tensor) -> Tensor | None:
    """Return the input of an output's shape, None where there is none."""
    alike = [one for one in given if one.shape == output.shape]
    if len(alike) > 1:
        raise PropagationError(
            f"{len(alike)} inputs of the part have the shape {tuple(output.shape)}, so that what is added to which is "
            "not known; take part='trunk', or a text of another length"
        )
    return alike[0] if alike else None
