"""How good images are: PSNR to the reference of the same seeds, and scores of each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from fdplug.scores import BASELINE, Batch, MeanScore, Number
from fdplug.scores.psnr import image_decibels, squared_errors
from fdplug.scores.score_set import ScoreSet

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.data.captions import Caption

Array = npt.NDArray[np.float64]
Values = Callable[[torch.Tensor, "Sequence[Caption]"], Mapping[str, torch.Tensor]]
LEAST_ERROR = 1 / 12
"""Mean squared error of rounding to 8 bits: images that are equal count as 58.9 dB, so that means exist."""


def psnr(images: Tensor, reference: Tensor) -> Array:
    """Return the PSNR in dB of each of N images (N, 3, H, W) uint8."""
    return image_decibels(squared_errors(images, reference), LEAST_ERROR).cpu().numpy()


class Scores:
    """Scores of single images, by name; of all of them more is better.

    Args:
        keys: their names.
        values: what each image has, by name.
    """

    def __init__(self, keys: Sequence[str] = (), values: Values = lambda images, captions: {}) -> None:
        self.keys, self._values = tuple(keys), values

    @classmethod
    def load(cls, scores: ScoreSet, device: torch.device | str) -> Scores:
        """Load scores; of their numbers those count that are means over images and the better the higher.

        Raises:
            PipelineError: a network cannot be loaded.
        """
        means = [one for one in scores.scores if isinstance(one, MeanScore) and BASELINE not in one.needs]
        keys = [(one, number.key) for one in means for number in one.numbers if _counts(one, number)]
        for one in means:
            one.load(device)
            one.begin()

        def values(images: Tensor, captions: Sequence[Caption]) -> dict[str, Tensor]:
            batch = Batch(images, captions)
            given = {one.name: one.values(batch) for one in means}
            return {key: given[one.name][key] for one, key in keys}

        return cls([key for _, key in keys], values)

    @classmethod
    def given(cls, functions: Mapping[str, Callable[[Tensor, list[str]], Any]]) -> Scores:
        """Return scores that are functions of images (N, 3, H, W) uint8 and prompts, each returning N numbers."""

        def values(images: Tensor, captions: Sequence[Caption]) -> dict[str, Tensor]:
            texts = [one.text for one in captions]
            return {name: torch.as_tensor(function(images, texts)) for name, function in functions.items()}

        return cls(tuple(functions), values)

    def of(self, images: Tensor, captions: Sequence[Caption]) -> dict[str, Array]:
        """Return what each image has, by name."""
        found = self._values(images, captions) if self.keys else {}
        return {key: np.asarray(found[key].cpu().double().numpy()) for key in self.keys}


def _counts(score: MeanScore, number: Number) -> bool:
    """Whether a number of a score is judged."""
    return number.key in score.means and number.column and number.higher_is_better
