"""One random generator per image, so that an image depends on its caption and the run's seed only.

Generators live on the CPU even when the model does not: the noise is then the same on every device.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch


def seed_of(run_seed: int, image_id: int) -> int:
    """Seed of one image: the first 63 bits of SHA-256 over `run_seed:image_id`."""
    digest = hashlib.sha256(f"{run_seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stage_seed(image_seed: int, stage: int) -> int:
    """Seed of one image's noise in a later stage of a cascade: the same over `image_seed:stage`."""
    return seed_of(image_seed, stage)


def generators(seeds: Iterable[int]) -> list[torch.Generator]:
    """One CPU generator per image, by its seed."""
    import torch

    return [torch.Generator().manual_seed(seed) for seed in seeds]
