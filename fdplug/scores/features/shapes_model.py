"""The embedding of the `shapes` evaluators as an extractor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug.scores.features import SHAPES
from fdplug.scores.features.extractor import Extractor

if TYPE_CHECKING:
    from torch import Tensor


class ShapesExtractor(Extractor):
    """The embedding of the shapes evaluators.

    Args:
        evaluators: what `fdplug.shapes.evaluators.load` returns.
    """

    kind = SHAPES

    def __init__(self, evaluators: Any) -> None:
        super().__init__(evaluators.embedder)
        self.evaluators = evaluators
        self.width = evaluators.embed_texts([""]).shape[1]

    def embed(self, images: Tensor) -> Tensor:
        return self.evaluators.embed_images(images.float() / 255)
