"""FTC of the Faster Diffusion paper (its Table 5): FID x time / CLIP score; smaller is better."""

from __future__ import annotations

CLIP_WEIGHT = 2.5
"""What the paper's CLIP score multiplies the cosine by (Hessel et al. 2021); torchmetrics multiplies it by 100."""


def ftc(fid: float, seconds: float, clip_score: float) -> float:
    """`FID x seconds per image / CLIP score`.

    Args:
        fid: FID.
        seconds: seconds per image of the whole pipeline.
        clip_score: 100 x the mean cosine, as fdplug and torchmetrics report it; it is put into the paper's scale.
    """
    return fid * seconds / (CLIP_WEIGHT * clip_score / 100)
