"""Which captions are generated in which round, and which rounds are timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


@dataclass(frozen=True)
class Round:
    """One batch that every variant generates.

    The first round of a run warms up: it is counted, not timed. `keep` is False for a round that is there for its time
    alone, when no other is to be timed.
    """

    captions: Sequence[Caption]
    warm_up: bool = False
    timed: bool = False
    keep: bool = True


def plan(captions: Sequence[Caption], batch_size: int) -> list[Round]:
    """The rounds: the first warms up, every other full batch is timed."""
    batches = [captions[start : start + batch_size] for start in range(0, len(captions), batch_size)]
    full = len(batches[0])
    rounds = [Round(batches[0], warm_up=True), *(Round(batch, timed=len(batch) == full) for batch in batches[1:])]
    if not any(one.timed for one in rounds):
        rounds.append(Round(batches[0], timed=True, keep=False))
    return rounds
