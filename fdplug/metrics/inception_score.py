"""Inception score (Salimans et al. 2016): how surely each image shows something, and how different the images are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torchmetrics import Metric

from fdplug.metrics.extractor import check_classes
from fdplug.metrics.score import Captioned, Score

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.metrics.extractor import Extractor


class ClassSums(Metric):
    """Sums of which the Inception score is made; float64, and they add up over ranks.

    Args:
        classes: how many classes, K.
    """

    full_state_update = False
    count: Tensor
    negentropy: Tensor
    marginal: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name, shape in (("count", ()), ("negentropy", ()), ("marginal", (classes,))):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor) -> None:
        """Add probabilities (N, K)."""
        probabilities = probabilities.to(self.count)
        self.count += len(probabilities)
        self.negentropy += torch.special.entr(probabilities).sum().neg()
        self.marginal += probabilities.sum(0)

    def compute(self) -> float:
        """`exp(E_x KL(p(y|x) || p(y)))`; not-a-number without images."""
        mean = self.marginal / self.count
        return float((self.negentropy / self.count + torch.special.entr(mean).sum()).exp())


class InceptionScore(Score):
    """Inception score over all images at once.

    One split instead of the ten of the first publication: the number then depends neither on the order of the images
    nor on how many processes drew them. It is a little higher than the mean over splits.

    Args:
        extractor: one that tells classes.
    """

    labels: ClassVar[dict[str, str]] = {"inception_score": "Inception score"}

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        check_classes(extractor)
        self.extractor = extractor
        self.sums = ClassSums(extractor.num_classes)

    def update(self, images: Tensor, captions: Sequence[Captioned] = ()) -> None:
        """Add a batch of images."""
        self.sums.update(self.extractor.probabilities(images))

    def compute(self) -> dict[str, float]:
        """The score."""
        return {"inception_score": self.sums.compute()}
