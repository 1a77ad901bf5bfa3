"""A scheduler's steps, cut: without those before the prior, and without the last ones."""

from __future__ import annotations

import copy
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
        ends_clean: whether the last step left ends where the last one of all would have.
    """

    def __init__(self, scheduler: Any, before: Mapping[str, int], strength: float, leave_out: int) -> None:
        """Cut a scheduler that has just set its timesteps.

        Args:
            scheduler: the scheduler.
            before: what `held` found before it set them.
            strength: share of the steps that are taken after the prior, rounded down to whole steps as diffusers does.
            leave_out: how many steps at the end are not taken.

        Raises:
            PropagationError: no step is left.
        """
        order = int(getattr(scheduler, "order", 1))
        count = int(getattr(scheduler, "num_inference_steps", None) or len(scheduler.timesteps))
        taken = min(int(count * strength), count)
        if taken <= leave_out:
            raise PropagationError(
                f"no step is left of {count}: strength {strength:g} takes {taken}, and leave_out {leave_out} leaves "
                "out as many or more; take more steps, a greater strength or a smaller leave_out"
            )
        self.whole = len(scheduler.timesteps)
        first, last = (count - taken) * order, self.whole - leave_out * order
        self._scheduler = scheduler
        self._arrays = {name: (value, _cut(value, self.whole, first, last)) for name, value in self._made(before)}
        self.ends_clean = not leave_out or any(len(one) > self.whole for one, _ in self._arrays.values())
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


def _cut(values: Any, whole: int, first: int, last: int) -> Any:
    """Return what is left of an array of N timesteps, or of noise levels, whose final ones, from N on, stay."""
    import numpy as np
    import torch

    if len(values) == whole:
        return values[first:last]
    join = torch.cat if isinstance(values, torch.Tensor) else np.concatenate
    return join([values[first:last], values[whole:]])


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


def ends_clean(scheduler: Any) -> bool:
    """Whether a scheduler's last step can be made to end clean: try it on a copy."""
    import torch

    probe = copy.deepcopy(scheduler)
    try:
        probe.set_timesteps(2)
        if len(getattr(probe, "sigmas", ())) == len(probe.timesteps) + 1:
            return True
        sample = torch.zeros(1, 4, 8, 8)
        return "pred_original_sample" in probe.step(sample, probe.timesteps[0], sample)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False
