"""FID: Frechet distance of features to those of real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.scores.base import REFERENCE, Batch, Number
from fdplug.scores.feature_score import FeatureScore

if TYPE_CHECKING:
    from fdplug.scores.features.reference import Reference


class Fid(FeatureScore):
    """Frechet distance to the real images (Heusel et al., arXiv 1706.08500); FID proper with the extractor `inception`.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers vision model.
        allow_pickle: also read weights that are no safetensors.
    """

    name = "fid"
    numbers = (Number("fid", "FID", higher_is_better=False, digits=2, headline=True),)
    needs = frozenset({REFERENCE})

    def begin(self, reference: Reference | None = None) -> None:
        """Take the statistics of the real images."""
        from fdplug.scores.features.distance import FrechetDistance

        self.distance = FrechetDistance(self.real(reference).statistics(self.network))

    def update(self, batch: Batch) -> None:
        self.distance.update(self.network.features(batch.images), batch.ids)

    def compute(self) -> dict[str, float]:
        distance = self.distance.compute()
        return {} if distance is None else {"fid": distance}
