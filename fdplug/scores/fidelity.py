"""PSNR and SSIM: how far images are from the un-accelerated ones of the same captions and seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fdplug.scores.base import BASELINE, Batch, MeanScore, Number
from fdplug.scores.psnr import PEAK, decibels

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.scores.features.reference import Reference

PSNR = "psnr"


class Fidelity(MeanScore):
    """PSNR (dB, of the squared error over all images) and SSIM (mean over images) to the un-accelerated images."""

    name = "fidelity"
    numbers = (
        Number(PSNR, "PSNR", higher_is_better=True, digits=1, unit="dB", headline=True),
        Number("ssim", "SSIM", higher_is_better=True),
    )
    needs = frozenset({BASELINE})

    def begin(self, reference: Reference | None = None) -> None:
        """Begin; the squared errors are added up beside the means."""
        from fdplug.scores.rows import Rows

        super().begin(reference)
        self.errors = Rows()

    @property
    def means(self) -> tuple[str, ...]:
        """SSIM alone; PSNR is that of the mean error."""
        return ("ssim",)

    def update(self, batch: Batch) -> None:
        """Add a batch of images and what they should have been."""
        images, baseline = batch.pairs()
        super().update(batch)
        error = (images.to(baseline.device).float() - baseline.float()).square()
        self.errors.add(error.flatten(1).mean(1), batch.ids)

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the SSIM of each pair."""
        import torch
        from torchmetrics.functional.image import structural_similarity_index_measure

        from fdplug.scores.features.extractor import full_precision

        images, baseline = batch.pairs()
        first, second = images.to(baseline.device).float(), baseline.float()
        with full_precision(baseline.device):
            found = structural_similarity_index_measure(first, second, data_range=PEAK, reduction="none")
        return {"ssim": torch.as_tensor(found).reshape(len(images))}

    def compute(self) -> dict[str, float]:
        """Return PSNR, infinite when every pixel is equal, and SSIM, with their standard errors.

        The error of PSNR follows from that of the squared error.
        """
        from fdplug.scores.uncertainty import named

        found = named("error", self.errors.gathered())
        if not found:
            return {}
        values = {PSNR: decibels(found["error"]), **super().compute()}
        if found["error"] > 0 and "error_se" in found:
            values[f"{PSNR}_se"] = 10 / math.log(10) * found["error_se"] / found["error"]
        return values
