"""Scores of single pictures: PSNR and SSIM to the un-accelerated one, and on `shapes` what of the caption is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from fdplug.report.pictures import frames, pixels
from fdplug.scores.psnr import PEAK, decibels


def psnr(first: np.ndarray, second: np.ndarray) -> float | None:
    """PSNR in dB of two pictures of 8 bits; None if every pixel is equal."""
    error = np.square(first.astype(np.float64) - second.astype(np.float64)).mean()
    return decibels(float(error)) if error else None


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two pictures (H, W, 3) of 8 bits, as in `compare`."""
    one, other = (torch.tensor(array).permute(2, 0, 1)[None].float() for array in (first, second))
    return torch.as_tensor(structural_similarity_index_measure(one, other, data_range=PEAK)).item()


def change(path: Path, baseline: Path) -> dict[str, float | None]:
    """PSNR and SSIM of two picture files of one size; of videos the means over their frames.

    A frame that is equal has the PSNR of a single value off by one level, as in `compare`; None if all are.
    """
    pairs = list(zip(frames(path), frames(baseline), strict=True))
    found = [psnr(*pair) for pair in pairs]
    most = decibels(1 / pairs[0][0].size)
    equal = all(one is None for one in found)
    return {
        "psnr": None if equal else sum(most if one is None else one for one in found) / len(found),
        "ssim": sum(ssim(*pair) for pair in pairs) / len(pairs),
    }


def mistakes(paths: Sequence[Path], captions: Sequence[str]) -> list[list[str]]:
    """What each picture of the `shapes` world gets wrong, by the trained evaluators: `colour`, `shape`, ...

    Raises:
        ValueError: the evaluators are for another size, or a caption is not of that world.
    """
    from fdplug.shapes import evaluators

    images = torch.stack([torch.tensor(pixels(path)).permute(2, 0, 1) for path in paths]).float() / PEAK
    found = evaluators.load().semantics(images, captions)
    return [
        [what for what, right in found.items() if what != "all" and not bool(right[index])]
        for index in range(len(paths))
    ]
