"""What is known of a run before it begins, and of a step while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The steps of one run: one entry of `scheduler.timesteps` per denoiser call, noisiest first.

    Steps are known by their index into `timesteps`, never by value: Heun and PNDM repeat values. Image-to-image runs
    begin at `start`; the steps before it do not take place. Runs that hand over to another model stop early.

    Attributes:
        timesteps: the scheduler's timesteps as plain numbers.
        start: index of the first step that is run.
        num_train_timesteps: length of the chain that the model was trained on.
        stop: index after the last step that is run; None: all.
    """

    timesteps: tuple[float, ...]
    start: int = 0
    num_train_timesteps: int = 1000
    stop: int | None = None

    @property
    def num_steps(self) -> int:
        """Number of entries, those before `start` and after `stop` included."""
        return len(self.timesteps)

    @property
    def end(self) -> int:
        """Index after the last step that is run."""
        return self.num_steps if self.stop is None else self.stop

    def step(self, index: int) -> Step:
        """Return the step at `index`."""
        return Step(index=index, num_steps=self.num_steps, timestep=self.timesteps[index], time=self._time(index))

    def _time(self, index: int) -> float:
        """Timesteps on the training chain as a fraction of it; other parametrisations by their place in the run."""
        if min(self.timesteps) >= 0 and 2 < max(self.timesteps) <= self.num_train_timesteps:
            return self.timesteps[index] / self.num_train_timesteps
        return 1 - index / self.num_steps


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        index: place in `scheduler.timesteps`; 0 is the noisiest step.
        num_steps: number of entries in `scheduler.timesteps`.
        timestep: the entry itself.
        time: noise time, from 1 (pure noise) to 0 (clean).
    """

    index: int
    num_steps: int
    timestep: float
    time: float
