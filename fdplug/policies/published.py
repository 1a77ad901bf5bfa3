"""The key-step sets of the paper, as indices from the noisiest step, and how they are rescaled.

Sources: Faster Diffusion (arXiv 2312.09608v2), Table 5 and appendix F.2; where paper and reference code differ, the
comment says which one is meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

_SD_50 = (0, 1, 2, 3, 5, 10, 15, 25, 35)
_SD_20 = (0, 1, 2, 3, 5, 10, 15)
# F.2 lists 84 keys for 100 steps if its dots mean every step, the reference code computes these 40; the spacing of the
# printed list (90, 85, 80 ... 25, 20, 15) fits the code.
_IF_ONE = tuple(step for step in range(100) if step < 10 or step > 85 or step % 5 == 0)
# Key steps of the super-resolution stage are perfect squares in 9 + 8n: n(n + 3) / 2.
_IF_THREE = tuple(n * (n + 3) // 2 for n in range(11))


def _runs(text: str) -> tuple[int, ...]:
    """Read `0-3,5` as (0, 1, 2, 3, 5)."""
    pairs = (part.split("-") for part in text.replace(" ", "").split(","))
    return tuple(step for pair in pairs for step in range(int(pair[0]), int(pair[-1]) + 1))


# Not printed in the paper; from the reference implementation for DiT: 166 of 250.
_DIT_250 = _runs(
    "0-6,10,12-14,16-20,22,25,27,29-37,45,49,51-54,58-60,62,64,67,68,70,72,73,75,77,78,81-88,90-92,95,97,99,101-104,"
    "106,107,109-112,115-121,123,125,128,130-132,134,137-139,141-145,147,150,152,155,157,158,160-164,166,168-170,"
    "172-175,178,180-182,184,187-191,193-196,198,200-210,212-214,216-219,221,223-229,231-234,237,239,241-243,245-247,"
    "249"
)

PUBLISHED: dict[str, dict[int, tuple[int, ...]]] = {
    "sd": {20: _SD_20, 50: _SD_50},
    "personalized": {50: (*_SD_50, 40)},
    "if-1": {100: _IF_ONE},
    "if-2": {50: tuple(range(50))},
    "if-3": {75: _IF_THREE},
    "dit": {250: _DIT_250},
}


def nearest(lengths: tuple[int, ...], wanted: int) -> int:
    """Return the length whose ratio to `wanted` is nearest to 1; the longer one of two equally near."""
    return min(sorted(lengths, reverse=True), key=lambda length: abs(math.log(length / wanted)))


def rescale(keys: Iterable[int], length: int, wanted: int) -> frozenset[int]:
    """Move the keys of a run of `length` steps to a run of `wanted` steps: k becomes floor(k * wanted / length)."""
    return frozenset(key * wanted // length for key in keys)
