"""Improved precision and recall (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.checks import whole
from fdplug.errors import ConfigError, warn
from fdplug.scores.base import REFERENCE, Batch, Number
from fdplug.scores.feature_score import FeatureScore
from fdplug.scores.features import INCEPTION

if TYPE_CHECKING:
    from fdplug.scores.features.reference import Reference


class PrecisionRecall(FeatureScore):
    """Improved precision and recall (Kynkaanniemi et al., arXiv 1904.06991).

    Both depend on the number of images, so compare equal numbers only.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers vision model.
        allow_pickle: also read weights that are no safetensors.
        neighbours: each point's ball reaches to its neighbour of this number in its own set.
    """

    name = "pr"
    numbers = (
        Number("precision", "precision", higher_is_better=True),
        Number("recall", "recall", higher_is_better=True),
    )
    needs = frozenset({REFERENCE})

    def __init__(self, extractor: str = INCEPTION, allow_pickle: bool = False, neighbours: int = 3) -> None:
        super().__init__(extractor, allow_pickle)
        self.neighbours = whole("neighbours", neighbours, 1)

    def begin(self, reference: Reference | None = None) -> None:
        """Take the features of the real images."""
        import torch

        from fdplug.scores.rows import Rows

        self.reference = self.real(reference)
        self.reference.statistics(self.network)
        self.generated = Rows(self.network.width, torch.float32)

    def update(self, batch: Batch) -> None:
        self.generated.add(self.network.features(batch.images), batch.ids)

    def compute(self) -> dict[str, float]:
        """Return the two shares; none, with a warning, where there are too few images."""
        from fdplug.scores.features.neighbours import precision_recall

        device = self.network.device
        real, generated = self.reference.features(self.network).to(device), self.generated.gathered().to(device)
        try:
            return precision_recall(real, generated, self.neighbours)._asdict()
        except ConfigError as error:
            warn(str(error))
            return {}
