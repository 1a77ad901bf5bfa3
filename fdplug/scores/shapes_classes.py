"""Analogues of Inception score, precision and recall by the evaluators of the embedded models."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from fdplug.scores.base import REFERENCE, Batch, Number, Score
from fdplug.scores.features import SHAPES
from fdplug.scores.inception_score import InceptionScore
from fdplug.scores.precision_recall import PrecisionRecall

if TYPE_CHECKING:
    import torch

    from fdplug.scores.feature_score import FeatureScore
    from fdplug.scores.features.reference import Reference

KEYS = {"inception_score": "shapes_is", "precision": "shapes_precision", "recall": "shapes_recall"}


class ShapesClasses(Score):
    """shapes-IS, shapes-precision and shapes-recall by the embedded evaluators; not those of Inception.

    A class is the background with fill, colour and shape of the first object, as the classifier sees them. All three
    depend on the number of images, so compare equal numbers only.
    """

    name = "shapes-classes"
    numbers = (
        Number("shapes_is", "shapes-IS", higher_is_better=True, digits=2),
        Number("shapes_precision", "shapes-precision", higher_is_better=True),
        Number("shapes_recall", "shapes-recall", higher_is_better=True),
    )
    needs = frozenset({REFERENCE})
    extractor = SHAPES

    def __init__(self) -> None:
        self.parts: tuple[FeatureScore, ...] = (InceptionScore(SHAPES), PrecisionRecall(SHAPES))

    def load(self, device: torch.device | str) -> None:
        """Load the evaluators."""
        for part in self.parts:
            part.load(device)

    def begin(self, reference: Reference | None = None) -> None:
        """Begin both of its parts."""
        self.parts = tuple(copy.copy(part) for part in self.parts)
        for part in self.parts:
            part.begin(reference)

    def update(self, batch: Batch) -> None:
        for part in self.parts:
            part.update(batch)

    def compute(self) -> dict[str, float]:
        """Return the numbers of both parts under names of their own."""
        return {KEYS[key]: value for part in self.parts for key, value in part.compute().items()}
