"""How certain a figure is: standard errors of means, of paired differences, and of Frechet distances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fdplug.scores.features.frechet import Moments, frechet_distance

RESAMPLES = 200


class Estimate(NamedTuple):
    """A figure and its standard error."""

    value: float
    error: float


class Cluster(NamedTuple):
    """First and second moments of the features of each picture, ready to be added up for any choice of pictures.

    Attributes:
        count: features per picture (N,).
        total: their sums (N, d).
        outer: sums of their outer products (N, d, d).
    """

    count: Tensor
    total: Tensor
    outer: Tensor


def mean(values: Tensor) -> Estimate:
    """Mean of `values` (N,) over independent pictures."""
    values = values.double()
    return Estimate(float(values.mean()), float(values.std() / len(values) ** 0.5))


def named(key: str, values: Tensor) -> dict[str, float]:
    """Return `{key: mean, key_se: standard error}` of values (N,), as far as they exist: from one and from two on."""
    if not len(values):
        return {}
    if len(values) == 1:
        return {key: float(values[0])}
    value, error = mean(values)
    return {key: value, f"{key}_se": error}


def share(right: Tensor) -> Estimate:
    """Share of true values (N,); its error counts one more hit and miss, so that 0 or 1 is not called certain."""
    hits, count = int(right.sum()), len(right)
    smoothed = (hits + 1) / (count + 2)
    return Estimate(hits / count, (smoothed * (1 - smoothed) / (count + 2)) ** 0.5)


def paired(values: Tensor, base: Tensor) -> Estimate:
    """Mean of ``values - base`` (N,) over the same pictures, with the standard error of that difference."""
    return mean(values.double() - base.double())


def clustered(features: Tensor) -> Cluster:
    """Moments of each picture's features (N, P, d), in double precision."""
    features = features.double()
    return Cluster(torch.full((len(features),), features.shape[1]), features.sum(1), features.mT @ features)


def moments(cluster: Cluster, rows: Tensor | None = None) -> Moments:
    """Moments of the features of the chosen pictures (with repeats), or of all."""
    if rows is None:
        rows = torch.arange(len(cluster.count))
    weight = torch.bincount(rows, minlength=len(cluster.count)).double()
    count = (weight * cluster.count).sum()
    middle = weight @ cluster.total / count
    outer = torch.einsum("n,nij->ij", weight, cluster.outer) / count
    return Moments(middle, (outer - torch.outer(middle, middle)) * count / (count - 1), int(count))


def frechet_resamples(cluster: Cluster, reference: Moments, seed: int = 0) -> Tensor:
    """Frechet distances (200,) of pictures drawn with replacement; the same pictures for the same N and seed.

    So the difference of two methods' resamples, made from the same captions and seeds, is paired.
    """
    random = torch.Generator().manual_seed(seed)
    count = len(cluster.count)
    picks = (torch.randint(count, (count,), generator=random) for _ in range(RESAMPLES))
    return torch.tensor([frechet_distance(moments(cluster, rows), reference) for rows in picks], dtype=torch.float64)
