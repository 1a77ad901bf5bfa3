"""Frechet distance between two sets of features, in float64 and never negative."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn
from torchmetrics import Metric

from fdplug.errors import FdplugWarning

if TYPE_CHECKING:
    from torch import Tensor


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """`|m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A^1/2 B A^1/2)^1/2)`: the symmetric form, by eigenvalues, clamped at 0.

    Args:
        mean_a: (d,) mean of the first set.
        cov_a: (d, d) covariance of the first set.
        mean_b: (d,) mean of the second set.
        cov_b: (d, d) covariance of the second set.
    """
    mean_a, cov_a, mean_b, cov_b = (tensor.detach().cpu().double() for tensor in (mean_a, cov_a, mean_b, cov_b))
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

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and unbiased covariance (d, d)."""
        mean = self.total / self.count
        covariance = (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1).clamp(min=1)
        return mean, covariance


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
        mean, covariance = self.generated.compute()
        count = int(self.generated.count)
        if count < self.generated.width:
            message = (
                f"Frechet distance of {count} images with {self.generated.width} features: fewer images than features."
                " Compare it only with distances of as many images."
            )
            warnings.warn(message, FdplugWarning, stacklevel=2)
        return frechet_distance(mean, covariance, *self.reference.compute())
