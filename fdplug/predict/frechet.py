"""Frechet distance between two sets of features, in float64 and never negative."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torchmetrics import Metric

from fdplug.errors import FdplugWarning

if TYPE_CHECKING:
    from torch import Tensor


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of features, and of how many."""

    mean: Tensor
    covariance: Tensor
    count: int


def frechet_distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A^1/2 B A^1/2)^1/2)`: the symmetric form, by eigenvalues, clamped at 0."""
    mean_a, cov_a, mean_b, cov_b = (one.detach().cpu().double() for one in (*a[:2], *b[:2]))
    values, vectors = torch.linalg.eigh(cov_a)
    root_a = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root_a @ cov_b @ root_a
    root_trace = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root_trace
    return max(float(distance), 0.0)


class FeatureStatistics(Metric):
    """Mean and covariance of features, added up batch by batch; sums are kept in float64 and add up over ranks.

    Args:
        width: Number of features, d.
    """

    full_state_update = False
    count: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor) -> None:
        """Add features (N, d)."""
        features = features.detach().to(self.total)
        self.count += len(features)
        self.total += features.sum(0)
        self.outer += features.T @ features

    def compute(self) -> Moments:
        """The moments of all features, those of other ranks included."""
        mean = self.total / self.count
        covariance = (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1).clamp(min=1)
        return Moments(mean, covariance, int(self.count))


class FrechetDistance(nn.Module):
    """Distance of generated features to those of a fixed reference set.

    Warns when fewer images than features were given: the distance is then dominated by the number of images.
    """

    def __init__(self, reference: FeatureStatistics) -> None:
        super().__init__()
        self.reference = reference
        self.generated = FeatureStatistics(reference.width)

    def update(self, features: Tensor) -> None:
        """Add features (N, d) of generated images."""
        self.generated.update(features)

    def compute(self) -> float:
        """The distance."""
        moments = self.generated.compute()
        if moments.count < self.generated.width:
            message = (
                f"Frechet distance of {moments.count} images with {self.generated.width} features: fewer images than"
                " features."
                " Compare it only with distances of as many images."
            )
            warnings.warn(message, FdplugWarning, stacklevel=2)
        return frechet_distance(moments, self.reference.compute())
