"""What a search may try: every plugin says itself which values of its options are worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Space = Mapping[str, Sequence[Any]]
"""Values by option. A tuple is a choice; a `range` is an amount of work, of which a budget pays for so much."""


class Searchable:
    """What every plugin may say about its own options. Contract 1.1."""

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Return the values of its options that `fdplug optimize` tries; None, as here, leaves the plugin out.

        An option that decides how much is computed is a `range`: the search takes the largest value that the budget
        pays for. An empty mapping tries the plugin as it is by default.

        Args:
            steps: of the run.
        """
        return None
