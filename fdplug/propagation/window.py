"""The steps that one call of the denoiser answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fdplug import trees


@dataclass(frozen=True)
class Rows:
    """Which rows of a guided call run.

    Attributes:
        groups: what they stand for, in order, each with as many rows; empty: the call is not divided.
        steps: the steps at which just these run; None: all.
    """

    groups: tuple[str, ...] = ()
    steps: frozenset[int] | None = None


EVERY_ROW = Rows()


@dataclass(frozen=True)
class Window:
    """The steps that the current call of the denoiser answers, and whether the part is computed for them.

    Attributes:
        fresh: nothing is kept that fits, so that every module is computed, whatever the policy says.
        portion: those of the window's rows, numbered time-major, that the call decodes from what was computed before;
            None: all of them.
        part_only: the call ends as soon as the part is computed.
        undecided: whether the part is computed is yet to be said, by a policy that looks at the part's probe.
        example: which of the ledger's examples the call is like.
        groups: what the rows of a guided call stand for; the features of each are kept by themselves.
    """

    lane: int
    steps: tuple[int, ...]
    rows: int
    computes: bool
    fresh: bool = False
    portion: range | None = None
    part_only: bool = False
    undecided: bool = False
    example: str = ""
    groups: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many rows the call decodes."""
        return self.rows * len(self.steps) if self.portion is None else len(self.portion)

    @property
    def touched(self) -> tuple[int, ...]:
        """The steps that the rows belong to."""
        if self.portion is None:
            return self.steps
        return self.steps[self.portion.start // self.rows : -(-self.portion.stop // self.rows)]

    def for_part(self) -> Window:
        """Return the window of the call that only computes the part."""
        return replace(self, steps=self.steps[:1], part_only=True)

    def afresh(self) -> Window:
        """Return the same window, with everything computed."""
        return replace(self, computes=True, fresh=True)

    def cut(self, tree: Any) -> Any:
        """Cut tensors that hold all rows of the steps touched down to the portion."""
        if self.portion is None:
            return tree
        start = self.portion.start % self.rows
        return trees.cut_rows(tree, self.rows * len(self.touched), start, start + len(self.portion))
