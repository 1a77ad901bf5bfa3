"""PSNR, SSIM and LPIPS: how far images are from the un-accelerated ones of the same captions and seeds."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torchmetrics import Metric
from torchmetrics.functional.image import structural_similarity_index_measure

from fdplug import checks
from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line
from fdplug.metrics.mean import Mean
from fdplug.metrics.psnr import PEAK, decibels
from fdplug.metrics.score import full_precision

if TYPE_CHECKING:
    from torch import Tensor


class Fidelity(nn.Module):
    """PSNR (dB, of the squared error over all images) and SSIM (mean over images) of 8-bit images (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.error = Mean()
        self.similarity = Mean()

    def update(self, images: Tensor, baseline: Tensor) -> None:
        """Add a batch of images and what they should have been."""
        device = self.error.device
        a, b = images.to(device).float(), baseline.to(device).float()
        self.error.update((a - b).square().flatten(1).mean(1))
        with full_precision(device):
            ssim = structural_similarity_index_measure(a, b, data_range=PEAK, reduction="none")
        self.similarity.update(torch.as_tensor(ssim).reshape(len(a)))

    def compute(self) -> dict[str, float]:
        """PSNR is infinite when every pixel is equal; its standard error follows from that of the squared error."""
        _, error, deviation = self.error.compute()
        values = {"psnr": decibels(error), **self.similarity.named("ssim")}
        if error > 0 and not math.isnan(deviation):
            values["psnr_se"] = 10 / math.log(10) * deviation / error
        return values


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018), mean over pairs of images, by torchmetrics.

    Args:
        network: what `load_lpips` returns.
    """

    def __init__(self, network: Metric) -> None:
        super().__init__()
        self.network = network
        self.mean = Mean()

    def update(self, images: Tensor, baseline: Tensor) -> None:
        """Add a batch of images and what they should have been."""
        device = self.mean.device
        pair = (images.to(device).float() / PEAK, baseline.to(device).float() / PEAK)
        with torch.no_grad(), full_precision(device):
            self.network.update(*pair)
            self.mean.update(self.network.compute().flatten())
            self.network.reset()

    def compute(self) -> dict[str, float]:
        """The mean and its standard error."""
        return self.mean.named("lpips")


@lru_cache(maxsize=2)
def load_lpips(net: Literal["alex", "vgg", "squeeze"] = "alex", device: torch.device | str = "cpu") -> Metric:
    """LPIPS's network; torchvision downloads the weights once.

    Raises:
        ConfigError: torchvision is not installed.
        PipelineError: the weights cannot be loaded.
    """
    checks.installed("LPIPS", "fid", "torchvision", otherwise=" (torchvision from torch's index)")
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(
            net, reduction="none", normalize=True, sync_on_compute=False, compute_with_cache=False
        )
    except Exception as error:  # torchvision, torch.hub and urllib raise what they like
        raise PipelineError(f"cannot load LPIPS ({net}): {one_line(error, 200)}") from error
    return metric.to(device)
