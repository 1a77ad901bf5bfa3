"""What votes say: win rates with confidence intervals, and how likely chance alone would say as much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fdplug.report.voting.votes import Vote

QUANTILE = 1.959963984540054  # of the normal distribution, at 0.975: an interval of 95 %
NOTE = (
    "Win rate: the share that preferred the variant to the un-accelerated picture, of those who saw a difference, with"
    " its 95 % Wilson interval. p: two-sided binomial sign test against one half. Both take the answers as independent,"
    " which those of one voter, or about one picture, are not quite."
)


@dataclass(frozen=True)
class Tally:
    """The votes on one variant.

    Attributes:
        name: the variant.
        against: the un-accelerated one.
        wins: answers that preferred the variant.
        losses: answers that preferred the un-accelerated one.
        same: answers that saw no difference.
        rate: wins / (wins + losses); None where nobody saw a difference, as the three below.
        low: lower end of its interval.
        high: upper end.
        p: of the sign test.
    """

    name: str
    against: str
    wins: int
    losses: int
    same: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def tally(votes: Sequence[Vote]) -> list[Tally]:
    """One tally per variant, by name."""
    names = sorted({(vote.pair.variant, vote.pair.against) for vote in votes})
    return [_one(name, against, [vote for vote in votes if vote.pair.variant == name]) for name, against in names]


def _one(name: str, against: str, votes: Sequence[Vote]) -> Tally:
    wins, losses = (sum(vote.preferred is which for vote in votes) for which in (True, False))
    same = len(votes) - wins - losses
    if wins + losses == 0:
        return Tally(name, against, wins, losses, same)
    low, high = wilson(wins, wins + losses)
    return Tally(name, against, wins, losses, same, wins / (wins + losses), low, high, sign_test(wins, wins + losses))


def wilson(wins: int, trials: int) -> tuple[float, float]:
    """Return the ends of the 95 % Wilson score interval (1927) of a share."""
    share, z = wins / trials, QUANTILE
    middle = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    low, high = ((middle + sign * half) / (1 + z**2 / trials) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def sign_test(wins: int, trials: int) -> float:
    """Return how likely a fair coin is to fall at least as unevenly as `wins` of `trials`, to either side."""
    tail = sum(math.comb(trials, count) for count in range(min(wins, trials - wins) + 1))
    return min(1.0, 2 * tail / 2**trials)


def table(tallies: Sequence[Tally], voters: int) -> dict[str, Any]:
    """The tallies as texts: `title`, `head`, `body`, `notes`; and `values`, by which cells are sorted."""
    answers = sum(one.wins + one.losses + one.same for one in tallies)
    return {
        "title": f"{answers} answers of {voters} voter{'s' * (voters != 1)}",
        "head": ["variant", "against", "wins", "losses", "same", "win rate", "95 % interval", "p"],
        "body": [_texts(one) for one in tallies],
        "values": [
            [one.name, one.against, one.wins, one.losses, one.same, one.rate, one.low, one.p] for one in tallies
        ],
        "notes": [NOTE],
    }


def _texts(one: Tally) -> list[str]:
    counts = [one.name, one.against, str(one.wins), str(one.losses), str(one.same)]
    if one.rate is None:
        return [*counts, "-", "-", "-"]
    return [*counts, f"{one.rate:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.p:.3g}"]
