"""A budget stated as quality: the fewest key steps that reach it."""

from __future__ import annotations

from collections.abc import Callable

from fdplug.errors import ConfigError


def fewest(total: int, quality: Callable[[int], float], floor: float, what: str = "PSNR") -> int:
    """Return the fewest key steps whose measured quality is at least `floor`, by bisection.

    More key steps are taken to be better. Where that is not so the answer still holds what was asked for, and one key
    step fewer does not.

    Args:
        total: steps of the run.
        quality: measures a number of key steps from 1 to `total`; asked once for each.
        floor: the least quality.
        what: what it is called.

    Raises:
        ConfigError: even `total` key steps do not reach the floor.
    """
    most = quality(total)
    if most < floor:
        raise ConfigError(
            f"the floor of {what} {floor:g} is not reached even with every step a key step: {most:.4g}; lower it, or"
            " take another noise injector"
        )
    low, high = 0, total  # `high` reaches the floor, `low` does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if quality(middle) >= floor else (middle, high)
    return high
