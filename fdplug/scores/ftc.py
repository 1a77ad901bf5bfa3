"""FTC of the Faster Diffusion paper (its Table 5): FID x time / CLIP score."""

from __future__ import annotations

from collections.abc import Mapping

from fdplug.errors import warn
from fdplug.scores.base import CombinedScore, Number

CLIP_WEIGHT = 2.5
"""What the paper's CLIP score multiplies the cosine by (Hessel et al. 2021); torchmetrics multiplies it by 100."""


class Ftc(CombinedScore):
    """FTC of the Faster Diffusion paper: FID x seconds per image / CLIP score, in the paper's scale."""

    name = "ftc"
    numbers = (Number("ftc", "FTC", higher_is_better=False),)
    made_of = ("fid", "seconds_per_image", "clip_score")

    def combine(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the score; none, with a warning, where the CLIP score is not positive."""
        if numbers["clip_score"] <= 0:
            warn("no FTC without a positive clip_score")
            return {}
        return {"ftc": ftc(*(numbers[key] for key in self.made_of))}


def ftc(fid: float, seconds: float, clip_score: float) -> float:
    """Return `FID x seconds per image / CLIP score`.

    Args:
        fid: FID.
        seconds: seconds per image of the whole pipeline.
        clip_score: 100 x the mean cosine, as fdplug and torchmetrics report it; it is put into the paper's scale.
    """
    return fid * seconds / (CLIP_WEIGHT * clip_score / 100)
