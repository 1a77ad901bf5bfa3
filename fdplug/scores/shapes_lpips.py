"""An analogue of LPIPS: how far images look from the un-accelerated ones to the embedded embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug.predict.storage.names import IMAGE
from fdplug.scores.base import BASELINE, Batch, MeanScore, Number
from fdplug.scores.features import SHAPES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE = 1000.0


class ShapesLpips(MeanScore):
    """Distance to the un-accelerated images in what the layers of the embedded embedding see, x1000; not LPIPS.

    As LPIPS (Zhang et al., arXiv 1801.03924) without its learnt weights: at each place of each of six layers the two
    vectors are brought to length 1; their squared distance is averaged over places, then over layers.
    """

    name = "shapes-lpips"
    numbers = (Number("shapes_lpips", "shapes-LPIPS x1000", higher_is_better=False, digits=1),)
    needs = frozenset({BASELINE})
    media = frozenset({IMAGE})
    extractor: Any

    def load(self, device: torch.device | str) -> None:
        """Load the evaluators."""
        from fdplug.scores.features.extractors import load_extractor

        self.extractor = load_extractor(SHAPES, device)

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distance of each pair."""
        from fdplug.scores.features.extractor import full_precision

        images, baseline = (one.float() / 255 for one in batch.pairs())
        with full_precision(self.extractor.device):
            return {"shapes_lpips": SCALE * self.extractor.evaluators.perceptual_distance(images, baseline)}
