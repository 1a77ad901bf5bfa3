"""What a user can spend or wants to keep, as one word."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fdplug.errors import ConfigError
from fdplug.errors.wording import shown

LOSSLESS_PSNR = 40.0
"""Below this many dB to the reference, a difference may be seen."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_COST = re.compile(rf"({_NUMBER})\s*(s|ms|x|calls?|gflops)", re.IGNORECASE)
_FLOOR = re.compile(rf"([a-z_][\w-]*)\s*=\s*({_NUMBER})", re.IGNORECASE)
_WORDS = (
    "1.5s (seconds an image), 2x (times as fast), 12calls (the work of so many denoiser calls), 8gflops (an image), "
    "psnr=32 (dB to the reference), SCORE=-0.01 (how much a score may fall), or lossless"
)
_QUANTITIES = {"s": "seconds", "ms": "seconds", "x": "times", "call": "calls", "calls": "calls", "gflops": "gflops"}


@dataclass(frozen=True)
class Budget:
    """A ceiling of cost, or a floor of quality.

    Attributes:
        text: as it was given.
        quantity: `seconds`, `calls`, `gflops`, `times`; `psnr`, `lossless`, or the name of a score.
        amount: of it; 0 for `lossless`.
        is_ceiling: whether cost is limited, and not quality.
    """

    text: str
    quantity: str
    amount: float
    is_ceiling: bool

    def seconds(self, reference: float) -> float | None:
        """Return how many seconds an image may take where it takes `reference` now; None: they are not limited."""
        if self.quantity == "times":
            return reference / self.amount
        return self.amount if self.quantity == "seconds" else None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget.

        Raises:
            ConfigError: it is none; the message lists the forms.
        """
        word = text.strip() if isinstance(text, str) else ""
        if word.lower() == "lossless":
            return cls("lossless", "lossless", 0.0, False)
        if cost := _COST.fullmatch(word):
            return _ceiling(word, float(cost[1]), cost[2].lower())
        if floor := _FLOOR.fullmatch(word):
            return _floor(word, floor[1], float(floor[2]))
        raise ConfigError(f"no budget {shown(text)}: write {_WORDS}")


def _ceiling(word: str, amount: float, unit: str) -> Budget:
    quantity = _QUANTITIES[unit]
    least = 1 if quantity == "times" else 0
    if not amount > least or not math.isfinite(amount):
        wanted = "more than 1: 2x is twice as fast" if quantity == "times" else "more than 0"
        raise ConfigError(f"budget '{word}': its number must be {wanted}")
    return Budget(word, quantity, amount / 1000 if unit == "ms" else amount, True)


def _floor(word: str, name: str, amount: float) -> Budget:
    if name.lower() == "psnr":
        if not amount > 0:
            raise ConfigError(f"budget '{word}': PSNR is a number of dB, more than 0, such as psnr=32")
        return Budget(word, "psnr", amount, False)
    if amount > 0:
        raise ConfigError(f"budget '{word}': say how much {name} may fall, 0 or less, such as {name}=-0.01")
    return Budget(word, name, amount, False)


_DURATION = re.compile(rf"({_NUMBER})\s*(s|min|h)", re.IGNORECASE)


def seconds(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `20min` or `1.5h`.

    Raises:
        ConfigError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]) > 0:
        raise ConfigError(f"no duration {shown(text)}: write 90s, 20min or 1.5h")
    return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2].lower()]
