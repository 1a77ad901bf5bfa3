"""The pipeline's scheduler, around which a propagation stands, also after it was exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug.errors import PipelineError, warn
from fdplug.patching import Patch, PatchStack

if TYPE_CHECKING:
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.propagator import Propagator


class FollowedScheduler:
    """Patches the scheduler of a pipeline.

    Args:
        pipe: the pipeline.
        propagator: what stands around the scheduler.
        runs: the runs that the scheduler's timesteps begin.
    """

    def __init__(self, pipe: Any, propagator: Propagator, runs: Runs) -> None:
        self._pipe, self._propagator, self._runs = pipe, propagator, runs
        self._patches = PatchStack()
        self._followed: Any = None

    def apply(self) -> None:
        """Patch it; a run may begin at once where its timesteps were set before."""
        self._patch()
        if getattr(self._followed, "num_inference_steps", None) is not None:
            self._runs.begin(self._followed, set_before=True)

    def check(self) -> None:
        """Raise `PatchOrderError` if something else lies on top."""
        self._patches.check()

    def remove(self) -> None:
        """Undo the patches; raise `PatchOrderError` if something else lies on top."""
        self._patches.remove()

    def follow(self) -> Any:
        """Return the pipeline's scheduler; one that was exchanged since is patched in place of the old.

        A copy of the old one, which a pipeline may make in the middle of a run, goes on where the old one was.

        Raises:
            PipelineError: its state is put back in the middle of a run.
        """
        old, new = self._followed, self._pipe.scheduler
        if self._patches.lost:
            self._patch_again()
        if new is not old:
            self._patches.remove()
            self._patch()
            if type(new) is type(old) and new.config == old.config:
                self._runs.go_on(new)
                return new
            self._runs.begin(new)
            names = f"{type(old).__name__} for {type(new).__name__}"
            warn(f"the pipeline's scheduler was exchanged, {names}: following it")
        return new

    def _patch(self) -> None:
        self._followed = scheduler = self._pipe.scheduler
        around = self._propagator
        self._patches.apply(
            [
                Patch(scheduler, "set_timesteps", around.around_set_timesteps),
                Patch(scheduler, "step", around.around_step),
            ]
        )

    def _patch_again(self) -> None:
        """Patch a scheduler whose state somebody has put back; refuse that in the middle of a run."""
        if self._runs.running:
            raise PipelineError(
                f"cannot follow this run: the state of its {type(self._followed).__name__} is put back while it goes "
                "on, so that no step can be told from the next; run this pipeline without propagation"
            )
        self._patches.remove()
        self._patch()
        self._runs.begin(self._followed)
