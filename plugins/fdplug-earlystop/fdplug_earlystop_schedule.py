"""A scheduler's steps, cut: without those before the prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fdplug.errors import PropagationError

if TYPE_CHECKING:
    from torch import Tensor

LONGER = 3  # by how much noise levels may outnumber timesteps: KDPM2 keeps its final one three times


def held(scheduler: Any) -> dict[str, int]:
    """Return which objects a scheduler's attributes are, by name."""
    return {name: id(value) for name, value in vars(scheduler).items()}


class Cut:
    """The steps of a run that are left, in the scheduler itself.

    Whatever `set_timesteps` has made anew and is as long as the timesteps, or a little longer (noise levels, whose last
    ones are where the run ends), is cut: timesteps, sigmas, interpolated sigmas.

    Attributes:
        whole: how many timesteps there were.
        left: how many there are now.
    """

    def __init__(self, scheduler: Any, before: Mapping[str, int], strength: float) -> None:
        """Cut a scheduler that has just set its timesteps.

        Args:
            scheduler: the scheduler.
            before: what `held` found before it set them.
            strength: share of the steps that are taken after the prior, rounded down to whole steps as diffusers does.

        Raises:
            PropagationError: no step is left.
        """
        order = int(getattr(scheduler, "order", 1))
        count = int(getattr(scheduler, "num_inference_steps", None) or len(scheduler.timesteps))
        taken = min(int(count * strength), count)
        self.whole = len(scheduler.timesteps)
        first = (count - taken) * order
        if first >= self.whole:
            raise PropagationError(
                f"no step is left of {count}: strength {strength:g} takes {taken}; take more steps, or a greater one"
            )
        self._scheduler = scheduler
        self._arrays = {name: (value, value[first:]) for name, value in self._made(before)}
        for name, (_, short) in self._arrays.items():
            setattr(scheduler, name, short)
        self.left = len(scheduler.timesteps)
        if first and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)

    def _made(self, before: Mapping[str, int]) -> list[tuple[str, Any]]:
        import numpy as np
        import torch

        lengths = range(self.whole, self.whole + LONGER + 1)
        return [
            (name, value)
            for name, value in vars(self._scheduler).items()
            if isinstance(value, torch.Tensor | np.ndarray)
            and value.ndim == 1
            and len(value) in lengths
            and before.get(name) != id(value)
        ]

    def restore(self) -> None:
        """Put the whole steps back, where nobody has set others since."""
        for name, (whole, short) in self._arrays.items():
            if getattr(self._scheduler, name) is short:
                setattr(self._scheduler, name, whole)


def noised(scheduler: Any, prior: Tensor, noise: Tensor) -> Tensor:
    """Return a prior with the noise of the first step that is left, as image-to-image pipelines make it.

    Args:
        scheduler: whose steps are cut.
        prior: clean latents, (B, ...).
        noise: standard normal, (B, ...).
    """
    timestep = scheduler.timesteps[:1].to(prior.device).repeat(prior.shape[0])
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(prior, timestep, noise)
    return scheduler.add_noise(prior, noise, timestep)
