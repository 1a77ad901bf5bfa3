"""Checks of settings at the door: each returns the value, or says what was given and what is allowed."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from fdplug.errors import ConfigError, missing_extra, suggestion
from fdplug.errors.wording import shown

LARGEST = 2**63 - 1
"""The largest whole number that torch, json readers and seeds take."""


def installed(what: str, extra: str, *packages: str, otherwise: str = "") -> None:
    """Refuse what an extra of fdplug brings where it is not installed.

    Args:
        what: who needs it, such as `fdplug analyze`.
        extra: the extra's name in pyproject.toml.
        packages: top-level packages, as they are imported.
        otherwise: what else there is to do, behind the command that installs the extra.

    Raises:
        ConfigError: a package is missing; the message holds the command that installs it.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise missing_extra(what, missing, extra, otherwise)


def whole(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """Return `value` if it is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = f"of at least {least}" if most == LARGEST or _is_below(value, least) else f"from {least} to {most}"
        raise ConfigError(f"{name} must be a whole number {limit}, got {shown(value)}")
    return value


def _is_below(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < least


def number(name: str, value: Any, least: float, most: float = float("inf")) -> float:
    """Return `value` as a float if it is finite and lies between `least` and `most`, both included."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not least <= value <= most
        or not _finite(value)
    ):
        limit = f"between {least} and {most}" if most != float("inf") else f"of at least {least}"
        raise ConfigError(f"{name} must be a number {limit}, got {shown(value)}")
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}; got {shown(value)}")
    return value


def span_limit(value: Any) -> Any:
    """Return a `max_span_batch` if it is None, `auto`, or a whole number of at least 1."""
    if isinstance(value, str) and value != "auto":
        raise ConfigError(f"max_span_batch must be a whole number of at least 1, or auto; got {shown(value)}")
    return value if value is None or value == "auto" else whole("max_span_batch", value, 1)


def check_choice(what: str, value: object, allowed: tuple[str, ...] | list[str]) -> None:
    """Refuse a value that is not among the allowed ones, and suggest the nearest."""
    if isinstance(value, str) and value in allowed:
        return
    raise ConfigError(f"no {what} {shown(value)}{suggestion(value, allowed, '.')} Allowed: {', '.join(allowed)}")
