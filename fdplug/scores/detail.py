"""How much of the fine detail of the un-accelerated images is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.scores.base import BASELINE, Batch, MeanScore, Number
from fdplug.scores.psnr import PEAK

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 8
HIGH = 0.25
"""Detail is what has at least so many cycles per pixel, along an axis or both together."""
FLOOR = 1e-5
"""Power per coefficient, of levels from 0 to 1, beside which no detail is seen: noise of 0.8 of 255 levels."""
LUMA = (0.299, 0.587, 0.114)


class Detail(MeanScore):
    """Share of the un-accelerated image's fine detail that is kept; 1 is all of it, 0 none.

    Images are compared in windows of 8x8 pixels, by their frequencies of at least a quarter of a cycle per pixel: the
    part of the baseline's that the image has, too, over all of the baseline's. What is blurred or drawn elsewhere is
    lost; noise that is added is no detail; too much of one frequency cannot make up for too little of another.
    """

    name = "detail"
    numbers = (Number("detail", "detail kept", higher_is_better=True),)
    needs = frozenset({BASELINE})

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the share of each pair."""
        images, baseline = batch.pairs()
        return {"detail": detail_kept(images.to(baseline.device).float() / PEAK, baseline.float() / PEAK)}


def detail_kept(images: Tensor, baseline: Tensor) -> Tensor:
    """Share (N,) of the detail of baselines (N, 3, H, W) in [0, 1] that the images have; 1 where there is none."""
    own, wanted = _detail(images), _detail(baseline)
    power = wanted.abs().square().sum(1)
    shared = (own * wanted.conj()).real.sum(1).minimum(power)
    floor = FLOOR * wanted.shape[1] * wanted.shape[2]
    return ((shared.sum(1) + floor) / (power.sum(1) + floor)).clamp(0, 1)


def _detail(images: Tensor) -> Tensor:
    """High-frequency coefficients (N, P, C) of the luminance in windowed patches that lie half a patch apart."""
    import torch

    luma = images.new_tensor(LUMA)
    plane = (images * luma[:, None, None]).sum(1)
    patches = plane.unfold(1, PATCH, PATCH // 2).unfold(2, PATCH, PATCH // 2).flatten(1, 2)
    patches = patches - patches.mean((2, 3), keepdim=True)
    window = torch.hann_window(PATCH, periodic=False, device=images.device)
    window = window[:, None] * window
    found = torch.fft.rfft2(patches * window) / window.square().sum().sqrt()
    down, across = torch.fft.fftfreq(PATCH), torch.fft.rfftfreq(PATCH)
    high = (down[:, None].square() + across.square()).sqrt().flatten() >= HIGH
    return found.flatten(2)[..., high.to(images.device)]
