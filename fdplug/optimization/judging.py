"""The verdict: the bar and the best of the search on prompts that neither has seen, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fdplug.optimization.budget import Budget
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.goal import is_lossless
from fdplug.optimization.measuring.outcome import Difference, Outcome, paired
from fdplug.optimization.measuring.price import Price
from fdplug.optimization.measuring.workbench import CandidateError, Workbench
from fdplug.optimization.request import LEAST_HELD_OUT

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

REFERENCE, BAR, BEST, PACED, LOSSLESS, FASTEST = (
    "as it is",
    "fewer steps",
    "best in budget",
    "best as fast as fewer steps",
    "without loss",
    "as good, faster",
)
LATE = 1.05
"""Measured seconds may be so many times the budget: machines are not quieter than that."""


@dataclass(frozen=True)
class Row:
    """A candidate on held-out prompts.

    Attributes:
        roles: why it is here.
        candidate: it.
        price: as it was expected.
        outcome: as it was measured.
    """

    roles: tuple[str, ...]
    candidate: Candidate
    price: Price
    outcome: Outcome

    def against(self, other: Row, key: str) -> Difference:
        """Return the paired difference to another row."""
        return self.outcome.against(other.outcome, key)


def judged(
    bench: Workbench,
    contenders: Mapping[str, Sequence[Candidate]],
    prices: Callable[[Candidate], Price],
    captions: Sequence[Caption],
    told: Callable[[int, int], None] = lambda done, total: None,
    left: Callable[[], float] = lambda: math.inf,
    key: str | None = None,
) -> list[Row]:
    """Run every contender on held-out captions, in turns; return the rows, each candidate once.

    A row of fewer steps that is behind another one after half of the captions is given up. Where there is no time for
    another batch, the rows are those of the captions so far, of which there are a few.

    Args:
        bench: runs candidates.
        contenders: candidates by role.
        prices: what they cost.
        captions: held-out captions.
        told: called with (batches done, batches in all).
        left: tells how many seconds are left.
        key: what rows of fewer steps are compared by; None keeps them all.
    """
    roles: dict[str, list[str]] = {}
    unique = {one.key: one for some in contenders.values() for one in some}
    for role, some in contenders.items():
        for one in some:
            roles.setdefault(one.key, []).append(role)
    entered, batches, done = list(unique.values()), list(bench.batches(captions)), 0
    for number, batch in enumerate(batches):
        before = left()
        place = number % len(entered)
        for candidate in [*entered[place:], *entered[:place]]:
            _run(bench, candidate, batch)
        told(number + 1, len(batches))
        done += len(batch)
        if key is not None and len(captions) // 2 <= done < len(captions):
            behind = _behind(bench, [one for one in entered if roles[one.key] == [BAR]], captions[:done], key)
            entered = [one for one in entered if one.key not in behind]
        if done >= LEAST_HELD_OUT and left() < before - left():
            break
    good = [one for one in entered if one.key not in bench.records.failures]
    return [Row(tuple(roles[one.key]), one, prices(one), bench.outcome(one, captions[:done])) for one in good]


def _behind(bench: Workbench, rivals: Sequence[Candidate], captions: Sequence[Caption], key: str) -> set[str]:
    """Return the keys of those that are behind another one by more than twice the error of the difference."""
    found = {one.key: bench.outcome(one, captions) for one in rivals if one.key not in bench.records.failures}
    if not found:
        return set()
    best = max(found.values(), key=lambda outcome: outcome.mean(key))
    return {name for name, outcome in found.items() if outcome.against(best, key).is_loss}


def _run(bench: Workbench, candidate: Candidate, batch: Sequence[Caption]) -> None:
    with suppress(CandidateError):  # its reason is kept, and told at the end
        bench.outcome(candidate, batch)


@dataclass(frozen=True)
class Verdict:
    """What is to be taken.

    Attributes:
        row: it.
        bar: the best row of fewer steps; None if none keeps the budget.
        best: the best of the search; None if there is none.
        beats: whether the best of the search beats the bar by more than twice its error.
        reason: one sentence: why.
        late: how many times the seconds of the budget it took on held-out prompts; 1 where it kept them, within `LATE`.
    """

    row: Row
    bar: Row | None
    best: Row | None
    beats: bool
    reason: str
    late: float = 1.0


def verdict(rows: Sequence[Row], budget: Budget, maximize: str = "psnr", tried: int = 1) -> Verdict:
    """Return what is to be taken of the rows, of which one is the reference.

    Args:
        rows: all that was judged.
        budget: the user's.
        maximize: what is to be as large as possible within a ceiling of cost.
        tried: proposals of the search; where there was none, nothing is said about other settings.
    """
    (reference,) = (row for row in rows if REFERENCE in row.roles)
    barred = [row for row in rows if BAR in row.roles]
    searched = [row for row in rows if BEST in row.roles]
    if budget.is_ceiling:
        found = _within(reference, barred, [row for row in rows if _is_searched(row)], maximize)
        found = replace(found, late=_late(found.row, reference, budget))
    else:
        found = _above(reference, barred, searched, budget)
    if not searched and not tried:
        return replace(found, reason="only fewer steps were tried, none of the other settings")
    return found


def _is_searched(row: Row) -> bool:
    """Whether it comes from the search, for one reason or another, and is no row of fewer steps."""
    return bool({BEST, PACED, LOSSLESS, FASTEST} & {*row.roles}) and BAR not in row.roles


def _within(reference: Row, barred: Sequence[Row], searched: Sequence[Row], key: str) -> Verdict:
    """Take the best quality: of the search only what is more than twice its error above the bar, in no more time.

    Where the best of the search takes longer than the bar, one of its cheaper rows may still win.
    """
    bar = max(barred, key=lambda row: row.outcome.mean(key), default=None)
    ordered = sorted(searched, key=lambda row: -row.outcome.mean(key))
    best = next((row for row in ordered if BEST in row.roles), None)
    if best is None or bar is None:
        row = best or bar or reference
        return Verdict(row, bar, best, bar is None and best is not None, "nothing else keeps the budget")
    for row in ordered:
        gained = row.against(bar, key)
        if gained.is_gain and not _worse(row, bar, key) and _ratio(row, bar) <= LATE:
            return Verdict(row, bar, best, True, f"{_signed(gained)} {_unit(key)} over the best fewer steps")
    why = f"{_signed(best.against(bar, key))} {_unit(key)}"
    why += f", but {_ratio(best, bar):.2f} times its seconds" if _ratio(best, bar) > LATE else ""
    worse = _worse(best, bar, key)
    why += f", but worse in {' and '.join(worse)}" if worse else ""
    return Verdict(bar, bar, best, False, f"nothing here beats it at this budget: the best other is at {why}")


def _worse(row: Row, bar: Row, key: str) -> list[str]:
    """Return the scores in which a row loses against the bar, by more than twice the error."""
    return [name for name in row.outcome.values if name != key and row.against(bar, name).is_loss]


def lacking(rows: Sequence[Row], budget: Budget) -> set[str]:
    """Return the roles, of fewer steps and of the best of the search, in which no row keeps the floor of a budget."""
    (reference,) = (row for row in rows if REFERENCE in row.roles)
    kept = {role for row in rows if _keeps(row, reference, budget) for role in row.roles}
    return {BAR, BEST} - kept


def _above(reference: Row, barred: Sequence[Row], searched: Sequence[Row], budget: Budget) -> Verdict:
    """Take the fastest that keeps the floor on held-out prompts, within twice its error."""
    bar, best = (
        min((row for row in some if _keeps(row, reference, budget)), key=lambda row: row.outcome.pace, default=None)
        for some in (barred, searched)
    )
    first = next(iter(searched), None)
    if best is None and bar is None:
        return Verdict(reference, None, first, False, f"nothing cheaper keeps {budget.text} on held-out prompts")
    if best is None:
        assert bar is not None
        return Verdict(bar, bar, first, False, f"no other settings keep {budget.text} for less")
    if bar is None:
        return Verdict(best, None, best, True, f"no fewer steps that were tried keep {budget.text}")
    saved = _paired_seconds(bar, best)
    said = f"{1 / _ratio(best, bar):.2f} times as fast as the fewest steps that keep {budget.text}"
    if saved.is_gain:
        return Verdict(best, bar, best, True, said)
    return Verdict(bar, bar, best, False, f"nothing here keeps {budget.text} for less: the best other is {said}")


def _keeps(row: Row, reference: Row, budget: Budget) -> bool:
    """Whether a row keeps a floor, as far as its error lets one say."""
    if budget.quantity == "lossless":
        return is_lossless(row.outcome, reference.outcome)
    if budget.quantity == "psnr":
        return row.outcome.mean("psnr") + 2 * row.outcome.error("psnr") >= budget.amount
    change = row.against(reference, budget.quantity)
    return change.value + 2 * change.error >= budget.amount


def _late(row: Row, reference: Row, budget: Budget) -> float:
    limit = budget.seconds(reference.outcome.pace)
    over = 1.0 if limit is None else row.outcome.pace / limit
    return over if over > LATE else 1.0


def _ratio(one: Row, other: Row) -> float:
    return one.outcome.pace / other.outcome.pace


def _paired_seconds(one: Row, other: Row) -> Difference:
    pairs = list(zip(one.outcome.seconds, other.outcome.seconds, strict=False))
    return paired(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))


def _signed(difference: Difference) -> str:
    return f"{difference.value:+.3g} ±{difference.error:.2g}"


def _unit(key: str) -> str:
    return "dB" if key == "psnr" else key
