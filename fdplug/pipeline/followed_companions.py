"""Companions of a denoiser, such as a ControlNet, around which a propagation stands, also once exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fdplug.denoisers.base import Companion, plain
from fdplug.errors import warn
from fdplug.patching import Patch, PatchStack, call_patches

if TYPE_CHECKING:
    from fdplug.propagation.loop.runs import Runs
    from fdplug.propagation.propagator import Propagator


class FollowedCompanions:
    """Patches the companions of a pipeline's denoiser: those of its part are replayed, others are counted.

    Args:
        pipe: the pipeline.
        propagator: what stands around a companion.
        runs: the runs, whose denoiser says which companions there are.
    """

    def __init__(self, pipe: Any, propagator: Propagator, runs: Runs) -> None:
        self._pipe, self._propagator, self._runs = pipe, propagator, runs
        self._patches = PatchStack()
        self._followed: dict[str, Any] = {}

    def apply(self) -> None:
        """Patch those that the pipeline holds."""
        self._followed = self._now()
        self._patches.apply(self._all())

    def _all(self) -> Iterator[Patch]:
        part, known = self._runs.method.part, self._known()
        replayed = {one.component for one in part.companions}
        for name, network in self._followed.items():
            if network is not None:
                around = self._propagator.around_companion if name in replayed else self._propagator.around_counted
                yield from call_patches(network, around(known[name], network))

    def _known(self) -> dict[str, Companion]:
        """Return the companions of every part of the denoiser, by component; as the part has them where it does."""
        family, part, network = self._runs.method.family, self._runs.method.part, self._runs.stages[0].network
        return {one.component: one for each in (*family.parts(network), part) for one in each.companions}

    def _now(self) -> dict[str, Any]:
        """Return what the pipeline holds as companions of its denoiser, by component."""
        return {component: getattr(self._pipe, component, None) for component in self._known()}

    def check(self) -> None:
        """Raise `PatchOrderError` if something else lies on top."""
        self._patches.check()

    def remove(self) -> None:
        """Undo the patches; raise `PatchOrderError` if something else lies on top."""
        self._patches.remove()

    def follow(self) -> None:
        """Stand around those that the pipeline holds now; one that was exchanged in mid-run has made a call already."""
        old = self._followed
        new: dict[str, Any] = {component: getattr(self._pipe, component, None) for component in old}
        exchanged = [name for name, network in new.items() if plain(network) is not plain(old[name])]
        if not exchanged:
            return
        self._patches.remove()
        self.apply()
        for name in exchanged:
            self._runs.exchange(name, new[name])
            names = f"{type(old[name]).__name__} for {type(new[name]).__name__}"
            warn(f"the pipeline's {name} was exchanged, {names}: following it")
