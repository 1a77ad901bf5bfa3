"""PSNR and SSIM: how far images are from the un-accelerated ones of the same captions and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.scores.base import BASELINE, Batch, MeanScore, Number
from fdplug.scores.psnr import PEAK, image_decibels, squared_errors

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.scores.features.reference import Reference

PSNR = "psnr"


class Fidelity(MeanScore):
    """PSNR and SSIM to the un-accelerated images, means over images of those of each pair.

    The PSNR of a pair that is equal is that of a single value off by one level, so that a mean stays finite.
    """

    name = "fidelity"
    numbers = (
        Number(PSNR, "PSNR", higher_is_better=True, digits=1, unit="dB", headline=True),
        Number("ssim", "SSIM", higher_is_better=True),
    )
    needs = frozenset({BASELINE})

    def begin(self, reference: Reference | None = None) -> None:
        """Begin; whether anything differs is added up beside the means."""
        from fdplug.scores.rows import Rows

        super().begin(reference)
        self.errors = Rows()

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return PSNR (dB) and SSIM of each pair."""
        import torch
        from torchmetrics.functional.image import structural_similarity_index_measure

        from fdplug.scores.features.extractor import full_precision

        images, baseline = batch.pairs()
        first, second = images.to(baseline.device).float(), baseline.float()
        errors = squared_errors(images.to(baseline.device), baseline)
        self.errors.add(errors, batch.ids)
        with full_precision(baseline.device):
            found = structural_similarity_index_measure(first, second, data_range=PEAK, reduction="none")
        least = 1 / first[0].numel()
        return {
            PSNR: image_decibels(errors, least),
            "ssim": torch.as_tensor(found).reshape(len(images)),
        }

    def compute(self) -> dict[str, float]:
        """Return PSNR, infinite when every pixel of every image is equal, and SSIM, with their standard errors."""
        from fdplug.scores.uncertainty import named

        values = super().compute()
        if values and named("error", self.errors.gathered())["error"] == 0:
            values[PSNR] = float("inf")
            values.pop(f"{PSNR}_se", None)
        return values
