"""Features of real images, to compare generated ones with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fdplug.errors import ConfigError, DataError
from fdplug.files.source import is_file
from fdplug.predict.storage.names import IMAGE
from fdplug.scores.features.images import ImageFolder, batches
from fdplug.scores.features.statistics import SUFFIXES, FeatureStatistics, load_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from fdplug.scores.features.extractor import Extractor
    from fdplug.scores.features.frechet import Moments
    from fdplug.scores.features.images import ImageSource

Advance = Callable[[int], None]
BATCH = 32


def quietly(count: int) -> None:
    """Report no progress."""


def shared_batches(
    references: ImageSource, size: tuple[int, int] | None = None, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[range, Tensor]]:
    """Yield batches of real images, (N, 3, H, W) uint8, each with the numbers of its images.

    Processes take turns batch by batch, so that every batch is the same however many there are: the last digits of
    features depend on what is computed beside them.

    Args:
        references: the real images.
        size: height and width they are cropped and resized to; None leaves them as they are.
        share: (rank, ranks): which batches to take, so that every image is taken once over all ranks.
    """
    rank, ranks = share
    for start in range(rank * BATCH, len(references), ranks * BATCH):
        numbers = range(start, min(start + BATCH, len(references)))
        for images in batches(references, numbers, BATCH, size):
            yield numbers, images


def reference_statistics(
    extractor: Extractor,
    references: ImageSource,
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
    share: tuple[int, int] = (0, 1),
) -> FeatureStatistics:
    """Feature statistics of real images, put together over all ranks; see `shared_batches`.

    Args:
        extractor: what makes the features.
        references: the real images.
        size: height and width they are cropped and resized to; None leaves them as they are.
        advance: called with the number of images just read.
        share: (rank, ranks) of this process.
    """
    if not len(references):
        raise ConfigError("no reference images to compare with")
    statistics = FeatureStatistics(extractor.width)
    for numbers, images in shared_batches(references, size, share):
        statistics.update(extractor.features(images), numbers)
        advance(len(images))
    return statistics


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
            if getattr(self.source, "media", IMAGE) != IMAGE:
                raise DataError(f"{given} holds videos; real images are pictures, such as the frames of real videos")
        elif not is_file(self.file):
            raise DataError(f"there are no statistics {self.file}; make them: fdplug evaluate --save-statistics")
        self.size, self.advance, self.share = size, advance, share
        self._statistics: dict[Extractor, Moments | FeatureStatistics] = {}

    def __len__(self) -> int:
        return 0 if self.source is None else len(self.source)

    def statistics(self, extractor: Extractor) -> Moments | FeatureStatistics:
        """Moments out of the file, or statistics of the images, made once and put together over all ranks."""
        if extractor not in self._statistics:
            self._statistics[extractor] = self._made(extractor)
        return self._statistics[extractor]

    def features(self, extractor: Extractor) -> Tensor:
        """Features (N, d) of the images of all ranks, made once.

        Raises:
            DataError: only statistics are there.
        """
        statistics = self.statistics(extractor)
        if not isinstance(statistics, FeatureStatistics):
            raise DataError(f"precision and recall need the real images themselves, not the statistics {self.file}")
        return statistics.features()

    def images(self) -> Iterator[Tensor]:
        """Yield the images themselves, (N, 3, H, W) uint8, or this rank's share of them.

        Raises:
            DataError: only statistics are there.
        """
        if self.source is None:
            raise DataError(f"the real images themselves are needed, not the statistics {self.file}; name their folder")
        yield from (images for _, images in shared_batches(self.source, self.size, self.share))

    def _made(self, extractor: Extractor) -> Moments | FeatureStatistics:
        if self.source is None:
            return load_statistics(self.file or "", extractor=extractor.name, size=self.size)
        return reference_statistics(extractor, self.source, self.size, self.advance, self.share)
