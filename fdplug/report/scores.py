"""Scores of single pictures: PSNR and SSIM to the un-accelerated one, and on `shapes` what of the caption is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from fdplug.report.pictures import pixels
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
    """PSNR and SSIM of two picture files of one size."""
    pair = pixels(path), pixels(baseline)
    return {"psnr": psnr(*pair), "ssim": ssim(*pair)}


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
