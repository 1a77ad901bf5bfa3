"""PSNR and SSIM: how far accelerated images are from the un-accelerated ones of the same captions and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

if TYPE_CHECKING:
    from torch import Tensor


class Fidelity(nn.Module):
    """PSNR (dB, of the squared error over all images) and SSIM (mean over images) of 8-bit images (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.psnr = PeakSignalNoiseRatio(data_range=255.0)
        self.ssim = StructuralSimilarityIndexMeasure(data_range=255.0)

    def update(self, images: Tensor, baseline: Tensor) -> None:
        """Add a batch of images and what they should have been."""
        pair = (images.to(self.psnr.device).float(), baseline.to(self.psnr.device).float())
        self.psnr.update(*pair)
        self.ssim.update(*pair)

    def compute(self) -> dict[str, float]:
        """PSNR is infinite when every pixel is equal."""
        return {"psnr": float(self.psnr.compute()), "ssim": torch.as_tensor(self.ssim.compute()).item()}
