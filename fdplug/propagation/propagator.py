"""Record, replay, decode a span: what happens inside the denoiser while a pipeline runs.

The patched denoiser calls its own, unmodified `forward`. The part's modules are patched too: at a key step they compute
and write their features to the cache, at the others they answer from it. A span may be decoded in one call: the batch
is repeated time-major ([step 0: B rows, step 1: B rows, ...]), the part runs on the first B rows and the cache hands
out features for all of them. One step at a time is the same with a window of one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdplug.propagation.loop.companions import AroundCompanions
from fdplug.propagation.loop.denoiser import AroundDenoiser
from fdplug.propagation.loop.passes import Passes
from fdplug.propagation.loop.scheduler import AroundScheduler

if TYPE_CHECKING:
    from fdplug.propagation.loop.runs import Runs


class Propagator:
    """Stands around the denoiser, its part, its companions and its scheduler: what is to be called in place of each."""

    def __init__(self, runs: Runs) -> None:
        passes, scheduler = Passes(runs), AroundScheduler(runs)
        self.around_set_timesteps = scheduler.set_timesteps
        self.around_step = scheduler.step
        self.around_denoiser = AroundDenoiser(runs, passes).stage
        self.around_module = passes.module
        self.around_probe = passes.probe
        companions = AroundCompanions(runs)
        self.around_companion, self.around_counted = companions.companion, companions.counted
