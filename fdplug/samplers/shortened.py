"""A scheduler without its last steps: the last one that is taken goes where the last of all would have gone.

Little happens at the end of a run, and a run of more steps that leaves out the last ones has as many calls as a shorter
one, and finer steps where they matter. DeciDiffusion is published so.
"""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from fdplug.errors import ConfigError, PropagationError

LONGER = 3  # by how much noise levels may outnumber timesteps: KDPM2 keeps its final one three times


def leave_out(scheduler: Any, count: int) -> None:
    """Let a scheduler leave out its last steps from now on; it should be nobody else's.

    Raises:
        ConfigError: its last step cannot be made to end clean.
    """
    if not _ends_clean(scheduler):
        name = type(scheduler).__name__
        raise ConfigError(
            f"leave_out needs a scheduler with noise levels or one that says what is clean, and {name} has neither: "
            "take sampler ddim, euler or dpm-solver++"
        )
    scheduler.set_timesteps = _SetTimesteps(scheduler, count)
    scheduler.step = _Step(scheduler)


class _Shortened:
    """What stands for a method of one scheduler; a copy of the scheduler gets one of its own."""

    def __init__(self, scheduler: Any, name: str) -> None:
        self._scheduler, self._original = scheduler, getattr(scheduler, name)
        functools.update_wrapper(self, self._original, updated=())  # type: ignore[arg-type]


class _SetTimesteps(_Shortened):
    """Sets timesteps, then cuts whatever is as long as they are, or has a few noise levels more at the end."""

    def __init__(self, scheduler: Any, count: int) -> None:
        super().__init__(scheduler, "set_timesteps")
        self._count = count

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        scheduler = self._scheduler
        before = {name: id(value) for name, value in vars(scheduler).items()}
        result = self._original(*args, **kwargs)
        whole = len(scheduler.timesteps)
        last = whole - self._count * int(getattr(scheduler, "order", 1))
        if last < 1:
            raise PropagationError(
                f"no step is left of {whole}: leave_out {self._count} leaves out as many or more; take more steps or a "
                "smaller leave_out"
            )
        for name, value in list(vars(scheduler).items()):
            if _is_listed(value, whole) and before.get(name) != id(value):
                setattr(scheduler, name, _cut(value, whole, last))
        return result


class _Step(_Shortened):
    """Takes a step; the last one of a scheduler without noise levels ends with what it says is clean."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__(scheduler, "step")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _has_levels(self._scheduler):
            return self._original(*args, **kwargs)
        options = inspect.signature(self._original).bind(*args, **kwargs).arguments
        options |= options.pop("kwargs", {})
        if options["timestep"] != self._scheduler.timesteps[-1]:
            return self._original(*args, **kwargs)
        wants_output = options.pop("return_dict", True)
        output = self._original(**options, return_dict=True)
        output["prev_sample"] = output["pred_original_sample"]
        return output if wants_output else output.to_tuple()


def _is_listed(value: Any, whole: int) -> bool:
    import numpy as np
    import torch

    return isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 1 and whole <= len(value) <= whole + LONGER


def _cut(values: Any, whole: int, last: int) -> Any:
    """Return what is left of an array of N timesteps, or of noise levels, whose final ones, from N on, stay."""
    import numpy as np
    import torch

    join = torch.cat if isinstance(values, torch.Tensor) else np.concatenate
    return join([values[:last], values[whole:]])


def _has_levels(scheduler: Any) -> bool:
    """Whether noise levels, one more than the steps, say where each step goes."""
    return len(getattr(scheduler, "sigmas", ())) > len(scheduler.timesteps)


def _ends_clean(scheduler: Any) -> bool:
    """Whether a scheduler's last step can be made to end clean: try it on a copy."""
    import torch

    probe = copy.deepcopy(scheduler)
    try:
        shifted = probe.config.get("use_dynamic_shifting")  # by how much, the size of the image says
        probe.set_timesteps(2, **({"mu": 1.0} if shifted else {}))
        if _has_levels(probe):
            return True
        sample = torch.zeros(1, 4, 8, 8)
        return "pred_original_sample" in probe.step(sample, probe.timesteps[0], sample)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False
