"""Which captions are generated in which round, and which rounds are timed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


@dataclass(frozen=True)
class Round:
    """One batch that every variant generates.

    The first round of a run warms up: it is counted, not timed. `keep` is False for a round that is there for its time
    alone.
    """

    captions: Sequence[Caption]
    warm_up: bool = False
    timed: bool = False
    keep: bool = True


TIMED = 3
"""Rounds that are timed at least: from one, nobody can say how much times differ by themselves."""


def plan(captions: Sequence[Caption], batch_size: int, timed: int = TIMED) -> list[Round]:
    """Return the rounds: the first warms up, every other full batch is timed.

    Where these are fewer than `timed`, full batches are generated again for their time alone.
    """
    batches = [captions[start : start + batch_size] for start in range(0, len(captions), batch_size)]
    full = len(batches[0])
    rounds = [Round(batches[0], warm_up=True), *(Round(batch, timed=len(batch) == full) for batch in batches[1:])]
    again = itertools.cycle([batch for batch in batches if len(batch) == full])
    missing = max(timed - sum(one.timed for one in rounds), 0)
    return [*rounds, *(Round(batch, timed=True, keep=False) for batch in itertools.islice(again, missing))]
