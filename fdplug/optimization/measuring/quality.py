"""How good images are: PSNR to the reference of the same seeds, and scores of each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from fdplug.metrics.factory import Models, score_maker
from fdplug.metrics.psnr import decibels
from fdplug.metrics.score import MeanScore

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.data.captions import Caption

Array = npt.NDArray[np.float64]
Values = Callable[[torch.Tensor, "Sequence[Caption]"], Mapping[str, torch.Tensor]]
LEAST_ERROR = 1 / 12
"""Mean squared error of rounding to 8 bits: images that are equal count as 58.9 dB, so that means exist."""
JUDGED = {"shapes": ("semantic_accuracy", "shapes_clip"), "clip": ("clip_score",)}
"""What is judged of each score; of all of these more is better."""


def psnr(images: Tensor, reference: Tensor) -> Array:
    """Return the PSNR in dB of each of N images (N, 3, H, W) uint8."""
    errors = (images.double() - reference.double()).square().flatten(1).mean(1)
    return np.array([decibels(max(float(error), LEAST_ERROR)) for error in errors])


class Scores:
    """Scores of single images, by name; of all of them more is better.

    Args:
        keys: their names.
        values: what each image has, by name.
    """

    def __init__(self, keys: Sequence[str] = (), values: Values = lambda images, captions: {}) -> None:
        self.keys, self._values = tuple(keys), values

    @classmethod
    def load(cls, names: Sequence[str], clip_model: str, device: torch.device | str) -> Scores:
        """Load the scores `shapes` and `clip`.

        Raises:
            PipelineError: a network cannot be loaded.
        """
        models = Models(clip=clip_model, device=device)
        loaded = {name: score_maker(name, models)() for name in names}

        def values(images: Tensor, captions: Sequence[Caption]) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for name, score in loaded.items():
                assert isinstance(score, MeanScore)
                given = score.values(images, captions)
                found |= {key: given[key] for key in JUDGED[name]}
            return found

        return cls([key for name in names for key in JUDGED[name]], values)

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
