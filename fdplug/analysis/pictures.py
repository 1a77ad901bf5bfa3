"""Features as pictures: their three principal components as red, green and blue."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt

import torch
from torch import Tensor

COMPONENTS = 3


class Principal:
    """The principal components of one image's features, at some steps, for every block.

    As in "Plug-and-Play" (Tumanyan et al., 2023), which the paper follows: the conditional half of a guided batch,
    fitted at each step by itself. Components have no sign of their own, so each is turned to agree with the picture
    before it; colours of different blocks still mean nothing to each other.

    Attributes:
        maps: block name -> step -> (H, W, 3) in [0, 1].
    """

    def __init__(self, steps: Iterable[int], *, image: int = 0, conditional_first: bool = False) -> None:
        """Know what to draw.

        Args:
            steps: the steps to draw.
            image: which image of the first run.
            conditional_first: whether the conditional rows come before the others, as in DiT.
        """
        self.steps = frozenset(steps)
        self.image, self.conditional_first = image, conditional_first
        self.maps: dict[str, dict[int, Tensor]] = {}
        self._last: dict[str, Tensor] = {}

    def draw(self, name: str, step: int, features: Tensor, images: int, size: tuple[int, int] | None) -> None:
        """Draw the features of a block at a step, if that is asked for and they form a picture.

        Args:
            name: of the block.
            step: index of the step.
            features: (B, C, H, W) or tokens (B, N, C).
            images: images in the batch; B is this, or twice this under guidance.
            size: height and width of the denoiser's sample, where it has any.
        """
        if step not in self.steps or step in self.maps.get(name, {}):
            return
        row = self.image if self.conditional_first else len(features) - images + self.image
        pixels = _pixels(features[row].float(), size)
        if pixels is None or pixels.shape[:2].numel() <= COMPONENTS:
            return
        components = principal_components(pixels.flatten(0, 1))
        components = _turned(components, self._last.get(name))
        self._last[name] = components
        self.maps.setdefault(name, {})[step] = _colours(components).reshape(*pixels.shape[:2], COMPONENTS).cpu()


def _pixels(features: Tensor, size: tuple[int, int] | None) -> Tensor | None:
    """Return (H, W, C); None for tokens that form no picture of the sample's proportions."""
    if features.ndim == 4:
        features = features[:, 0]  # the first frame
    if features.ndim == 3:
        return features.permute(1, 2, 0)
    count = len(features)
    height = isqrt(count) if size is None else isqrt(count * size[0] // size[1])
    return features.reshape(height, -1, features.shape[-1]) if height and count % height == 0 else None


def principal_components(rows: Tensor) -> Tensor:
    """Return the first three principal components (N, 3) of rows (N, C); zeros where there are fewer."""
    centred = rows.double() - rows.double().mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    found = torch.zeros(len(rows), COMPONENTS, dtype=torch.float64, device=rows.device)
    count = min(COMPONENTS, len(values))
    found[:, :count] = left[:, :count] * values[:count]
    return found


def _turned(components: Tensor, before: Tensor | None) -> Tensor:
    if before is None or before.shape != components.shape:
        return components
    return torch.where((components * before).sum(0) < 0, -components, components)


def _colours(components: Tensor) -> Tensor:
    """Each component stretched to [0, 1]."""
    low, high = components.min(0).values, components.max(0).values
    return (components - low) / (high - low).clamp(min=1e-12)
