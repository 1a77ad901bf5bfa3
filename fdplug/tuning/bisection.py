"""Budgets that are measured: the fewest key steps that reach a quality, the most that take a time."""

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


def most(total: int, seconds: Callable[[int], float], limit: float) -> int:
    """Return the most key steps whose measured seconds are at most `limit`, by bisection.

    More key steps are taken to take longer. Where that is not so the answer still holds what was asked for.

    Args:
        total: steps of the run.
        seconds: measures a number of key steps from 1 to `total`; asked once for each.
        limit: the most seconds per image.

    Raises:
        ConfigError: even one key step takes longer.
    """
    least = seconds(1)
    if least > limit:
        raise ConfigError(f"--seconds is {limit:g}, but one key step takes {least:.4g} per image")
    low, high = 1, total + 1  # `low` holds the limit; `high` does not, or there are not so many
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if seconds(middle) <= limit else (low, middle)
    return low
