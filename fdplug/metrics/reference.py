"""Features of real images, to compare generated ones with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fdplug.errors import ConfigError, DataError
from fdplug.files.source import is_file
from fdplug.metrics.images import ImageFolder, batches
from fdplug.metrics.score import Advance, quietly
from fdplug.metrics.statistics import SUFFIXES, FeatureStatistics, load_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from fdplug.metrics.extractor import Extractor
    from fdplug.metrics.frechet import Moments
    from fdplug.metrics.score import ImageSource

BATCH = 32


def reference_features(
    extractor: Extractor,
    references: ImageSource,
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Tensor]:
    """Features (N, d) of real images, batch by batch.

    Args:
        extractor: what makes the features.
        references: the real images.
        size: height and width they are cropped and resized to; None leaves them as they are.
        advance: called with the number of images just read.
        share: (rank, ranks): which part of the images to take, so that every image is taken once over all ranks.
    """
    rank, ranks = share
    for images in batches(references, range(rank, len(references), ranks), BATCH, size):
        yield extractor.features(images)
        advance(len(images))


def reference_statistics(
    extractor: Extractor,
    references: ImageSource,
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
    share: tuple[int, int] = (0, 1),
) -> FeatureStatistics:
    """Feature statistics of real images; see `reference_features`. Those of several ranks add up in `compute`."""
    if not len(references):
        raise ConfigError("no reference images to compare with")
    statistics = FeatureStatistics(extractor.width)
    for features in reference_features(extractor, references, size, advance, share):
        statistics.update(features.cpu())
    return statistics


def reference_rows(
    extractor: Extractor,
    references: ImageSource,
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """All features (N, d) of real images, float32 on the CPU; see `reference_features`."""
    rows = [features.cpu() for features in reference_features(extractor, references, size, advance, share)]
    return torch.cat([torch.empty(0, extractor.width), *rows])


class Reference:
    """The real images of a comparison: a source of images, or a file of their statistics.

    Args:
        given: a folder of images, a `.npz` or `.safetensors` file, or something that reads images one by one.
        size: height and width to crop and resize real images to; None leaves them as they are.
        advance: called with the number of images just read.
        share: (rank, ranks) of this process.

    Raises:
        DataError: there is no such folder or file.
    """

    def __init__(
        self,
        given: str | Path | ImageSource,
        size: tuple[int, int] | None = None,
        advance: Advance = quietly,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.file = Path(given) if isinstance(given, str | Path) and Path(given).suffix in SUFFIXES else None
        self.source: ImageSource | None = None
        if self.file is None:
            self.source = ImageFolder(given) if isinstance(given, str | Path) else given
        elif not is_file(self.file):
            raise DataError(f"there are no statistics {self.file}; make them: fdplug evaluate --save-statistics")
        self.size, self.advance, self.share = size, advance, share

    def __len__(self) -> int:
        return 0 if self.source is None else len(self.source)

    def statistics(self, extractor: Extractor) -> Moments | FeatureStatistics:
        """Moments out of the file, or statistics of the images; those of several ranks add up."""
        if self.source is None:
            return load_statistics(self.file or "", extractor=extractor.name, size=self.size)
        return reference_statistics(extractor, self.source, self.size, self.advance, self.share)

    def rows(self, extractor: Extractor) -> Tensor:
        """Features (N, d) of the images, or of this rank's share of them.

        Raises:
            DataError: only statistics are there.
        """
        if self.source is None:
            raise DataError(f"precision and recall need the real images themselves, not the statistics {self.file}")
        return reference_rows(extractor, self.source, self.size, self.advance, self.share)
