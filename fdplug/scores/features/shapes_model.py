"""The `shapes` evaluators as an extractor: the embedding for features, the classifier for classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fdplug.scores.features import SHAPES
from fdplug.scores.features.extractor import Extractor
from fdplug.shapes.evaluators import FIRST_OBJECT
from fdplug.shapes.labels import CLASSES

if TYPE_CHECKING:
    from torch import Tensor


class ShapesExtractor(Extractor):
    """The embedding of the shapes evaluators; its classes are background and look of the first object.

    Args:
        evaluators: what `fdplug.shapes.evaluators.load` returns.
    """

    kind = SHAPES

    def __init__(self, evaluators: Any) -> None:
        super().__init__(evaluators.embedder)
        self.evaluators = evaluators
        self.width = evaluators.embed_texts([""]).shape[1]
        self.num_classes = math.prod(len(CLASSES[head]) for head in FIRST_OBJECT)

    def embed(self, images: Tensor) -> Tensor:
        return self.evaluators.embed_images(images.float() / 255)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, 960) of the classes."""
        return self.evaluators.class_logits(images.float() / 255)
