"""Improved precision and recall (Kynkaanniemi et al. 2019): shares of one set inside the k-NN manifold of the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from fdplug.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 3
ROWS = 1000


class Shares(NamedTuple):
    """Share of generated images that look real, and of real ones that could have been generated."""

    precision: float
    recall: float


def precision_recall(real: Tensor, generated: Tensor, k: int = NEIGHBOURS, rows: int = ROWS) -> Shares:
    """Precision and recall of features (N, d) and (M, d).

    Memory is bounded by `rows` x max(N, M) distances in float64, whatever the number of images.

    Args:
        real: features of real images.
        generated: features of generated images.
        k: each point's ball reaches to its k-th nearest neighbour in its own set.
        rows: distances of so many points at a time.

    Raises:
        ConfigError: there are not more than k images in a set.
    """
    if min(len(real), len(generated)) <= k:
        given = f"{len(generated)} generated and {len(real)} real images"
        raise ConfigError(f"precision and recall with {k} neighbours need more than {k} images each, got {given}")
    real, generated = real.double(), generated.double()
    return Shares(
        _share_inside(generated, real, _radii(real, k, rows), rows),
        _share_inside(real, generated, _radii(generated, k, rows), rows),
    )


def _radii(points: Tensor, k: int, rows: int) -> Tensor:
    """Squared distance of each point to its k-th nearest neighbour."""
    radii = []
    for start in range(0, len(points), rows):
        distances = _squared_distances(points[start : start + rows], points)
        own = torch.arange(len(distances), device=points.device)
        distances[own, own + start] = math.inf
        radii.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(radii)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor, rows: int) -> float:
    """Share of `points` that lie in the ball of at least one centre."""
    inside = 0
    for part in points.split(rows):
        inside += int((_squared_distances(part, centres) <= radii).any(1).sum())
    return inside / len(points)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """All squared distances; float64, so that the short form loses nothing that matters."""
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)
