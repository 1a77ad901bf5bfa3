"""Frechet distance between two sets of features, each fitted by a Gaussian: float64, symmetric, never negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from fdplug.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of features, and of how many images."""

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The moments of features (N, d), in float64 on the CPU.

        Raises:
            DataError: there are fewer than two rows, so there is no covariance.
        """
        wide = features.detach().double().cpu()
        if wide.ndim != 2 or len(wide) < 2:
            raise DataError(f"moments need features (N, d) of at least 2 images, got {tuple(wide.shape)}")
        return cls(wide.mean(0), wide.T.cov().reshape(wide.shape[1], -1), len(wide))


def frechet_distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A^1/2 B A^1/2)^1/2)` (Dowson and Landau 1982; Heusel et al. 2017).

    The product under the root is symmetric and positive semi-definite, so its eigenvalues are real and no complex part
    has to be thrown away, as it is with a general matrix root. The root of either covariance gives the same number; the
    mean of both is returned, which makes the result the same bit for bit when the sets change places.

    Raises:
        DataError: the sets have features of another width.
    """
    mean_a, cov_a, mean_b, cov_b = (one.detach().cpu().double() for one in (*a[:2], *b[:2]))
    if mean_a.shape != mean_b.shape:
        raise DataError(f"features of {len(mean_a)} and of {len(mean_b)} numbers come from different extractors")
    shift = (mean_a - mean_b).square().sum()
    traces = cov_a.trace() + cov_b.trace()
    roots = _root_trace(cov_a, cov_b) + _root_trace(cov_b, cov_a)
    return max(float(shift + traces - roots), 0.0)


def _root_trace(a: Tensor, b: Tensor) -> Tensor:
    """Trace of `(A^1/2 B A^1/2)^1/2`."""
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * _known(values).sqrt()) @ vectors.T
    product = root @ b @ root
    return _known(torch.linalg.eigvalsh((product + product.T) / 2)).sqrt().sum()


def _known(values: Tensor) -> Tensor:
    """Eigenvalues with those that are nothing but rounding, on either side of zero, set to zero.

    Their roots are of the order of 1e-8, not of 1e-16: with fewer images than features there are many of them, and the
    distance would depend on the order in which the sums were made.
    """
    least = values.max() * len(values) * torch.finfo(values.dtype).eps
    return values.where(values > least, 0)
