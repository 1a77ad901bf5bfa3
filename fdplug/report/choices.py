"""What a report shows, as its reader chose."""

from __future__ import annotations

from dataclasses import dataclass, field

from fdplug.report.running_costs import Rates

PAIRS = 36


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a report shows.

    Args:
        pictures: embedded per variant, at most.
        side: pixels to which larger pictures are reduced.
        pairs: questions of the voting page, at most; 0 writes none. None keeps those that were chosen before, so that
            votes on them stay valid; at first 36.
        seed: of their choice; None as for `pairs`, at first 0.
        rates: assumptions of the costs.
    """

    pictures: int = 16
    side: int = 256
    pairs: int | None = None
    seed: int | None = None
    rates: Rates = field(default_factory=Rates)
