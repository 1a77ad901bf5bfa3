"""At which of the scheduler's timesteps is this call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fdplug.errors import PropagationError
from fdplug.propagation.calls.given import Given
from fdplug.propagation.messages import shown, some

if TYPE_CHECKING:
    from fdplug.propagation.calls.call import Call


class Times:
    """The timesteps of a scheduler, as tensor and on the host, where calls are compared with them.

    Attributes:
        tensor: the scheduler's own, (steps,).
    """

    def __init__(self, scheduler: Any) -> None:
        self.tensor: Tensor = torch.as_tensor(scheduler.timesteps)
        self.read()

    def read(self) -> None:
        """Fetch the values: an accelerator is waited for here alone."""
        self._on_host = self.tensor.cpu()
        self._given = Given(self.tensor)

    @property
    def values(self) -> tuple[float, ...]:
        """All of them, as numbers."""
        return tuple(float(value) for value in self._on_host.tolist())

    @property
    def changed(self) -> bool:
        """Whether somebody has written to them since they were read."""
        return self._given.changed

    def at(self, call: Call, step: int) -> bool:
        """Whether a call is at the timestep of a step."""
        one = self._on_host[step : step + 1]
        return bool(len(one)) and call.is_at(one)

    def first(self, call: Call, begin: int | None) -> int:
        """Return the step of a run's first call.

        Args:
            call: the call.
            begin: where the scheduler says that the run begins; None where it does not say.

        Raises:
            PropagationError: its timestep is none of the scheduler's.
        """
        place = self.place(call.timestep) if begin is None else int(begin)
        if place is None:
            place = next((index for index in range(len(self.tensor)) if self.at(call, index)), None)
        if place is None:
            raise PropagationError(
                f"the denoiser was called with timestep {shown(call.timestep)}, which is not among the scheduler's "
                f"({some(self.values)}): this pipeline does not follow its scheduler, so fdplug cannot accelerate it"
            )
        return place

    def place(self, timestep: Any) -> int | None:
        """Return which of them this is, if it is one of that very tensor's elements."""
        if not isinstance(timestep, Tensor) or timestep.device != self.tensor.device:
            return None
        offset = timestep.data_ptr() - self.tensor.data_ptr()
        inside = timestep.numel() and 0 <= offset < self.tensor.nbytes
        return offset // self.tensor.element_size() if inside else None

    def rows_apart(self, call: Call, step: int, ask: bool) -> bool:
        """Whether rows of a call are at timesteps of their own.

        Args:
            call: the call.
            step: the one that it belongs to.
            ask: whether an accelerator may be waited for.
        """
        timestep = call.timestep
        if isinstance(timestep, Tensor) and timestep.device.type != "cpu" and not ask:
            return False
        return not call.is_at_one_time(self.tensor[step : step + 1])
