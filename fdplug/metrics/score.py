"""What every score of images can do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fdplug.metrics.mean import Mean

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Advance = Callable[[int], None]


def quietly(count: int) -> None:
    """Report no progress."""


class Captioned(Protocol):
    """Whatever has a text."""

    @property
    def text(self) -> str:
        """The caption."""
        ...


class ImageSource(Protocol):
    """Images that are read one by one."""

    def __len__(self) -> int:
        """Return how many images there are."""
        ...

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image `index` as (H, W, 3) uint8, cropped and resized to `size` = (height, width)."""
        ...


class Score(nn.Module):
    """Something to compute over all generated images of a run.

    Attributes:
        labels: key of each number -> how a table calls it; `<key>_se` is the standard error of `<key>`.
    """

    labels: ClassVar[dict[str, str]]

    @abstractmethod
    def update(self, images: Tensor, captions: Sequence[Captioned]) -> None:
        """Add a batch of images (N, 3, H, W) uint8 and their captions."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers, by key, over all ranks; one that needs more images than there are is left out."""


class MeanScore(Score):
    """A score that is the mean over images of something that each image has; it comes with its standard error.

    Args:
        keys: what is a mean; all of `labels` if none is named.

    Attributes:
        last: what each image of the last batch has, by key.
    """

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.means = nn.ModuleDict({key: Mean() for key in keys or self.labels})
        self.last: dict[str, Tensor] = {}

    @abstractmethod
    def values(self, images: Tensor, captions: Sequence[Captioned]) -> dict[str, Tensor]:
        """What each image has, (N,) for each key."""

    def update(self, images: Tensor, captions: Sequence[Captioned]) -> None:
        self.last = self.values(images, captions)
        for key, value in self.last.items():
            self._mean(key).update(value)

    def compute(self) -> dict[str, float]:
        """The means, and from two images on their standard errors."""
        return {name: value for key in self.means for name, value in self._mean(key).named(key).items()}

    def _mean(self, key: str) -> Mean:
        mean = self.means[key]
        assert isinstance(mean, Mean)  # a ModuleDict forgets what it holds
        return mean


def full_precision(device: torch.device | str) -> AbstractContextManager[object]:
    """Autocast off, so that a score is the same whatever precision the images were drawn in."""
    return torch.autocast(torch.device(device).type, enabled=False)
