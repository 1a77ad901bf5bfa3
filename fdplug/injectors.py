"""Noise injectors: a last word on the sample just before each scheduler step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from fdplug.checks import number
from fdplug.hooks import hookimpl
from fdplug.schedule import Step
from fdplug.space import Searchable, Space
from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NoNoise", "NoiseInjector", "PriorNoise", "fresh_noise"]


class NoiseInjector(Stackable, Searchable, ABC):
    """May change the sample that a scheduler step starts from."""

    name: ClassVar[str]

    @abstractmethod
    def inject(self, sample: Tensor, prior: Tensor, step: Step) -> Tensor:
        """Return the sample from which the scheduler goes on.

        Args:
            sample: the current sample z_t, (B, C, H, W) or with frames; do not change it in place.
            prior: the sample z_T with which the run began, same shape, on the noise scale of this step: schedulers that
                work on sigmas keep samples of variance 1 + sigma^2, and the prior is scaled likewise.
            step: the step that is about to be taken.
        """


def fresh_noise(prior: Tensor, step: Step) -> Tensor:
    """Return noise of a step's own, which is the same whenever the image is made again, in whatever batch.

    It is the prior's values in an order that the step's index decides: as white as the prior, on its scale, and without
    correlation to it. A generator of the injector's own would give an image another noise in another batch.

    Args:
        prior: what `inject` is given, (B, ...).
        step: the step that is about to be taken.
    """
    import torch

    rows = prior.flatten(1)
    order = torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(step.index))
    return rows[:, order.to(prior.device)].reshape(prior.shape)


class NoNoise(NoiseInjector):
    """Leaves the sample alone."""

    name = "none"

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Try it."""
        return {}

    def inject(self, sample: Tensor, prior: Tensor, step: Step) -> Tensor:
        """Return the sample itself."""
        return sample


class PriorNoise(NoiseInjector):
    """z_t + alpha * z_T in the late steps, t < tau: keeps texture that propagation smooths away (paper, section 3.3).

    Args:
        alpha: share of the prior noise; the paper's 0.003.
        tau: noise time below which it is injected, as a fraction of the chain; the paper's 0.5 (25 of 50 steps).
    """

    name = "prior"

    def __init__(self, alpha: float = 0.003, tau: float = 0.5) -> None:
        self.alpha = number("alpha", alpha, 0)
        self.tau = number("tau", tau, 0, 1)

    def inject(self, sample: Tensor, prior: Tensor, step: Step) -> Tensor:
        """Add the prior where the step is late."""
        return sample + self.alpha * prior if step.time < self.tau else sample


@hookimpl
def fdplug_noise_injectors() -> Iterator[type[NoiseInjector]]:
    """Yield the built-in injectors."""
    yield from (NoNoise, PriorNoise)
