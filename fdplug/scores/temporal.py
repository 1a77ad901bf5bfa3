"""How steady a video is, and how like the un-accelerated one it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.predict.storage.names import VIDEO
from fdplug.scores.base import BASELINE, Batch, MeanScore, Number
from fdplug.scores.psnr import PEAK, image_decibels

if TYPE_CHECKING:
    from torch import Tensor


class Temporal(MeanScore):
    """How little a video changes from frame to frame, from 0 to 1, mean over videos.

    VBench's temporal flickering (Huang et al., arXiv 2311.17982, section 4.1): (255 - mean |x_{f+1} - x_f|) / 255. A
    still picture has 1, so it says something only beside a run of the same captions.
    """

    name = "temporal"
    numbers = (Number("steadiness", "steadiness", higher_is_better=True, digits=4),)
    media = frozenset({VIDEO})
    framewise = False

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the steadiness of each video; none where videos have a single frame."""
        changes = _changes(batch.images)
        if not changes.numel():
            return {"steadiness": changes.new_zeros(0)}
        return {"steadiness": 1 - changes.abs().flatten(1).mean(1) / PEAK}


class Motion(MeanScore):
    """PSNR of the changes from frame to frame to those of the un-accelerated videos, mean over videos.

    A video that is equal has the PSNR of a single value off by one level, so that a mean stays finite.
    """

    name = "motion"
    numbers = (Number("motion_psnr", "motion PSNR", higher_is_better=True, digits=1, unit="dB"),)
    needs = frozenset({BASELINE})
    media = frozenset({VIDEO})
    framewise = False

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the PSNR of each video's changes; none where videos have a single frame."""
        own, other = (_changes(one) for one in batch.pairs())
        if not own.numel():
            return {"motion_psnr": own.new_zeros(0)}
        errors = (own - other.to(own.device)).square().flatten(1).mean(1)
        return {"motion_psnr": image_decibels(errors, 1 / own[0].numel())}


def _changes(videos: Tensor) -> Tensor:
    """Return the differences between frames next to each other, (N, F - 1, 3, H, W), of videos (N, F, 3, H, W)."""
    return videos.double().diff(dim=1)
