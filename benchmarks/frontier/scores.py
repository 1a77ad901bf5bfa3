"""The scores of a row of the frontier, picture by picture, and their paired differences to another row's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fdplug.scores.features.frechet import frechet_distance
from fdplug.scores.uncertainty import Estimate, clustered, frechet_resamples, mean, moments, paired, share
from fdplug.shapes import annotations_file, evaluators
from fdplug.shapes.annotations import WORLDS, held_out_scenes, references
from fdplug.shapes.texture import patch_spectra, texture_distance
from fdplug.shapes.training.batches import batch_of

FLIPPED = 25.0  # dB; a picture that has become another one is farther away
OTHER_SEED, OTHER_PICTURES = 4000, 2000
NEAREST = (0.5 / 255) ** 2  # equal 8-bit pictures count as half a level apart


@dataclass(frozen=True)
class Scores:
    """What is known of the pictures of one row.

    Attributes:
        pictures: per score, a value for every picture (N,).
        spectra: the Frechet distance of the spectra of all patches to those of drawn pictures.
        resampled: the same distance of pictures drawn with replacement, the same ones for every row.
    """

    pictures: dict[str, Tensor]
    spectra: float
    resampled: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        """The scores there are."""
        return (*self.pictures, "spectra")

    def estimate(self, score: str) -> Estimate:
        """Return a score with its standard error."""
        if score == "spectra":
            return Estimate(self.spectra, float(self.resampled.std()))
        values = self.pictures[score]
        return share(values) if values.dtype == torch.bool else mean(values)

    def against(self, other: Scores, score: str) -> Estimate:
        """Return the difference to another row on the same captions and noise, with its paired standard error."""
        if score == "spectra":
            return Estimate(self.spectra - other.spectra, float((self.resampled - other.resampled).std()))
        return paired(self.pictures[score], other.pictures[score])


class Judge:
    """Scores the pictures of as many captions as the reference has.

    Args:
        model: whose held-out captions.
        first: how many captions come before them.
        reference: the pictures that PSNR is against (N, 3, H, W), in [0, 1].
        limit: those that a sampler comes to with more and more steps, alike; None: `limit` is not scored.
    """

    def __init__(self, model: str, first: int, reference: Tensor, limit: Tensor | None = None) -> None:
        records = references(annotations_file(model))[first : first + len(reference)]
        self._captions: Sequence[str] = [record.caption for record in records]
        self._drawn = batch_of([record.scene for record in records]).images
        self._reference, self._limit = reference, limit
        self._evaluators = evaluators.load()
        others = batch_of(held_out_scenes(OTHER_PICTURES, OTHER_SEED, WORLDS[model])).images
        self._spectra = moments(clustered(patch_spectra(others)))

    def scores(self, images: Tensor) -> Scores:
        """Score pictures (N, 3, H, W) in [0, 1]."""
        cluster = clustered(patch_spectra(images))
        limit = {} if self._limit is None else {"limit": psnr(images, self._limit)}
        return Scores(
            {
                "psnr": psnr(images, self._reference),
                "accuracy": self._evaluators.semantics(images, self._captions)["all"],
                "texture": texture_distance(images, self._drawn),
                **limit,
            },
            frechet_distance(moments(cluster), self._spectra),
            frechet_resamples(cluster, self._spectra),
        )


def psnr(images: Tensor, base: Tensor) -> Tensor:
    """PSNR (N,) in dB of each picture to its counterpart."""
    return -10 * (images - base).square().mean(dim=(1, 2, 3)).clamp(min=NEAREST).log10()
