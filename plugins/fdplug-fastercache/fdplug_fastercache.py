"""The CFG cache of FasterCache (Lv et al., arXiv 2410.19355) for fdplug: a guidance.

What the unconditional prediction adds to the conditional one changes slowly, but not alike: early in the run its low
frequencies grow, late its high ones. So the difference of the last full step is kept, and weighed by frequency band
(Eq. 9 to 11): with c and u the conditional and unconditional predictions and F the Fourier transform over height and
width, F(u) = F(c) + w1 low(F(u') - F(c')) + w2 high(F(u') - F(c')). There c' and u' are those of the last full step, w1
is 1 + alpha early and 1 late, and w2 is 1 early and 1 + alpha late.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import PropagationError
from fdplug.guidance import Guidance

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.schedule import Schedule, Step

FDPLUG_CONTRACT = "1.1"


class FasterCache(Guidance):
    """All rows early and at every n-th step; in between, the last difference, weighed by frequency (FasterCache).

    Args:
        every: how many steps apart full steps are, after the first ones.
        begin: share of the run's steps that all are full, before the first is left out.
        alpha: by how much a band is raised; 0 is guidance `cached`, 0.1 what diffusers' FasterCache takes.
        turn: noise time, from 0 (clean) to 1 (pure noise), above which low frequencies are raised and below which high
            ones are.
        radius: where low frequencies end, as a share of the shorter side's.
    """

    name = "fastercache"

    def __init__(
        self, every: int = 5, begin: float = 1 / 3, alpha: float = 0.1, turn: float = 0.5, radius: float = 0.2
    ) -> None:
        self.every = whole("every", every, 1)
        self.begin_share = number("begin", begin, 0, 1)
        self.alpha = number("alpha", alpha, 0)
        self.turn = number("turn", turn, 0, 1)
        self.radius = number("radius", radius, 0, 0.5)
        self._kept: dict[str, Tensor] = {}

    @classmethod
    def space(cls, steps: int) -> dict[str, tuple[object, ...]]:
        """Return what `fdplug optimize` tries."""
        return {"every": (2, 5), "alpha": (0.1,)}

    def begin(self, schedule: Schedule) -> None:
        """Forget the differences."""
        self._kept = {}

    def full_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the first steps, and every n-th from the last of them on."""
        count = math.ceil(round(self.begin_share * (schedule.end - schedule.start), 6))
        first = range(schedule.start, schedule.start + count)
        return frozenset(first) | frozenset(range(first.stop - 1 if count else first.stop, schedule.end, self.every))

    def observe(self, step: Step, name: str, conditional: Tensor, other: Tensor) -> None:
        """Keep the difference, (B, ..., H, W)."""
        if conditional.dim() < 4:
            raise PropagationError(
                f"this denoiser predicts tokens, {tuple(conditional.shape)}, which have no height and width to "
                "tell low frequencies by; take guidance cached"
            )
        self._kept[name] = other - conditional

    def predict(self, step: Step, name: str, conditional: Tensor) -> Tensor:
        """Add the kept difference, one of its bands raised."""
        kept = self._kept[name]
        low = low_band(kept, self.radius)
        raised = low if step.time > self.turn else kept - low
        return conditional + kept + self.alpha * raised


def low_band(values: Tensor, radius: float) -> Tensor:
    """Return the low frequencies of (..., H, W), those within a circle.

    Args:
        values: of any precision.
        radius: of the circle, as a share of the number of frequencies along the shorter side.
    """
    import torch

    height, width = values.shape[-2:]
    across, along = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    inside = across[:, None] ** 2 + along[None, :] ** 2 <= (radius * min(height, width)) ** 2
    spectrum = torch.fft.rfft2(values.float())
    return torch.fft.irfft2(spectrum * inside.to(values.device), s=(height, width)).to(values.dtype)


@fdplug.hookimpl
def fdplug_guidances() -> Iterator[type[Guidance]]:
    """Yield the guidance."""
    yield FasterCache
