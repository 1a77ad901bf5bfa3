"""The base of the scores that are made of an extractor's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdplug.errors import ConfigError
from fdplug.scores.base import Captioned, Score
from fdplug.scores.features import INCEPTION

if TYPE_CHECKING:
    import torch

    from fdplug.scores.features.extractor import Extractor
    from fdplug.scores.features.reference import Reference


class FeatureScore(Score):
    """Base: an extractor, shared by all scores that name the same one.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers vision model.
        allow_pickle: also read weights that are no safetensors.
    """

    network: Extractor

    def __init__(self, extractor: str = INCEPTION, allow_pickle: bool = False) -> None:
        self.extractor, self.allow_pickle = extractor, allow_pickle

    def check(self, captions: Sequence[Captioned]) -> None:
        """Refuse FID's Inception where its packages are not installed."""
        from fdplug.scores.features.inception import check_inception

        if self.extractor.partition(":")[0] == INCEPTION:
            check_inception()

    def load(self, device: torch.device | str) -> None:
        """Load the extractor."""
        from fdplug.scores.features.extractors import load_extractor

        self.network = load_extractor(self.extractor, device, self.allow_pickle)

    def real(self, reference: Reference | None) -> Reference:
        """Return the real images, or refuse to go on without."""
        if reference is None:
            raise ConfigError(f"'{self.name}' needs real images: name a folder of them, or a file of their statistics")
        return reference
