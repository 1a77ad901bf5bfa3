"""How well a picture keeps to given outlines: a boundary F1 score within one pixel, as in edge detection."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fdplug.shapes import evaluators_folder
from fdplug.shapes.control.networks import ObjectFinder

TOLERANCE = 1
"""How far, in pixels, a boundary may lie from the given line, along the axes or diagonally."""
FINDER = "finder.safetensors"


def load_finder(device: torch.device | str = "cpu", folder: Path | None = None) -> ObjectFinder:
    """Load the judge of the package, or the one that a training run exported to `folder`."""
    finder = ObjectFinder()
    weights = load_file((evaluators_folder() if folder is None else folder) / FINDER)
    finder.load_state_dict({name: one.float() for name, one in weights.items()})
    return finder.to(device).eval().requires_grad_(False)


@torch.inference_mode()
def found_boundaries(finder: ObjectFinder, images: Tensor) -> Tensor:
    """The boundaries of the objects that the judge finds, bool (N, H, W), of images (N, 3, H, W) in [0, 1]."""
    device = next(finder.parameters()).device
    return boundaries(finder(images.to(device).float()).cpu() > 0)


def boundaries(masks: Tensor) -> Tensor:
    """The outermost pixels of every area, bool (N, H, W) of bool (N, H, W); the picture's own border is none."""
    return masks & _grown(~masks, 1)


def outline_f1(found: Tensor, given: Tensor, tolerance: int = TOLERANCE) -> Tensor:
    """F1 score (N,) of boundaries found in pictures against the given lines, both bool (N, H, W).

    Precision is the share of the found pixels with a given one within `tolerance`, recall the share of the given
    pixels with a found one. Where nothing is given, nothing must be found.
    """
    precision = _share(found, _grown(given, tolerance))
    recall = _share(given, _grown(found, tolerance))
    return 2 * precision * recall / (precision + recall).clamp(min=1e-9)


def _grown(masks: Tensor, by: int) -> Tensor:
    return nn.functional.max_pool2d(masks[:, None].float(), 2 * by + 1, stride=1, padding=by)[:, 0] > 0


def _share(pixels: Tensor, among: Tensor) -> Tensor:
    """Share (N,) of `pixels` that lie in `among`; of no pixels all do if there is nothing to hit, none otherwise."""
    count = pixels.flatten(1).sum(1)
    share = (pixels & among).flatten(1).sum(1) / count.clamp(min=1)
    nothing = (~among.flatten(1).any(1)).float()
    return share.where(count > 0, nothing)
