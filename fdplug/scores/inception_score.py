"""Inception score (Salimans et al. 2016): how surely each image shows something, and how different the images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.scores.base import Batch, Number
from fdplug.scores.feature_score import FeatureScore

if TYPE_CHECKING:
    import torch

    from fdplug.scores.features.reference import Reference


class InceptionScore(FeatureScore):
    """Inception score (Salimans et al., arXiv 1606.03498) over all images at once; the extractor has to tell classes.

    One split instead of the ten of the first publication: the number then depends neither on the order of the images
    nor on how many processes generated them. It is a little higher than the mean over splits.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers image classifier.
        allow_pickle: also read weights that are no safetensors.
    """

    name = "is"
    numbers = (Number("inception_score", "Inception score", higher_is_better=True, digits=2),)

    def load(self, device: torch.device | str) -> None:
        """Load the extractor, and refuse one that tells no classes."""
        from fdplug.scores.features.extractor import check_classes

        super().load(device)
        check_classes(self.network)

    def begin(self, reference: Reference | None = None) -> None:
        """Begin with sums of zero: how many images, negative entropies, and probabilities of all classes."""
        import torch

        self.sums = torch.zeros(2 + self.network.num_classes, dtype=torch.float64)

    def update(self, batch: Batch) -> None:
        import torch

        probabilities = self.network.probabilities(batch.images).cpu()
        self.sums[0] += len(probabilities)
        self.sums[1] -= torch.special.entr(probabilities).sum()
        self.sums[2:] += probabilities.sum(0)

    def compute(self) -> dict[str, float]:
        """Return `exp(E_x KL(p(y|x) || p(y)))`."""
        import torch

        from fdplug.scores.rows import summed

        sums = summed(self.sums)
        if not sums[0]:
            return {}
        means = sums[1:] / sums[0]
        return {"inception_score": float((means[0] + torch.special.entr(means[1:]).sum()).exp())}
