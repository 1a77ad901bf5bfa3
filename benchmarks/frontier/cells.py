"""The frontier's scores by name, and how figures are written in its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
HIGHER = {"psnr": True, "accuracy": True, "texture": False, "spectra": False, "limit": True}
TITLES = {"psnr": "PSNR dB", "accuracy": "accuracy", "texture": "texture dB", "spectra": "spectra FD"}
LIMIT = "PSNR to the limit, dB"


def value(row: Record, score: str) -> str:
    """Return a score of a row with its standard error."""
    digits = _digits(score)
    one = row["scores"][score]
    return f"{one['value']:.{digits}f} ±{one['error']:.{digits}f}"


def signed(one: Mapping[str, float], score: str) -> str:
    """Return a difference with its standard error."""
    digits = _digits(score)
    return f"{one['value']:+.{digits}f} ±{one['error']:.{digits}f}"


def line(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def titled(reference: str) -> str:
    """Return the name of a reference for people."""
    known = {
        "ddim-50": "DDIM-50",
        "flow-euler-28": "28 Euler steps",
        "dpm-solver++-karras-20": "DPM-Solver++-20 on Karras levels",
    }
    return known.get(reference, reference)


def _digits(score: str) -> int:
    return {"psnr": 1, "limit": 1, "accuracy": 3}.get(score, 2)
