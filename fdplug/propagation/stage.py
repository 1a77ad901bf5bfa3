"""One of a pipeline's denoisers and the method that it is propagated with; most pipelines have a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fdplug import trees
from fdplug.denoisers.base import plain
from fdplug.profiling.outline import processors_of
from fdplug.propagation.replay import Replay
from fdplug.propagation.watching.makeup import Makeup
from fdplug.propagation.watching.watched import Watched

if TYPE_CHECKING:
    from torch import nn

    from fdplug.propagation.method import Method


class Stage:
    """A denoiser, for the steps that it takes: a run may go over from one to another, at a boundary in noise time.

    Attributes:
        network: the denoiser.
        method: the plain objects to work with.
        replay: what the modules of its part answer.
        processors: the classes of its attention processors between runs: a pipeline may exchange them for one run.
    """

    def __init__(self, network: nn.Module | Any, method: Method) -> None:
        self.network, self.method = network, method
        self.replay = Replay(method.cache, method.part)
        self.processors = processors_of(trees.modules(plain(network)))
        self._watched: Watched | None = None
        self._makeup: Makeup | None = None

    def watched(self) -> Watched:
        """Return its modules, watched; they are looked through anew where they are no more what they were."""
        if self._watched is None or not self._watched.is_current():
            kind = self.method.family.known_class(self.network)
            self._watched = Watched(self.network, self.method.part, kind)
        return self._watched

    def makeup(self) -> Makeup:
        """Return what decides the cost of its passes, which is kept from run to run."""
        if self._makeup is None:
            self._makeup = Makeup(self.network, self.watched().modules)
        return self._makeup

    def clear(self) -> None:
        """Free what was kept in a run."""
        self.replay.clear()
        if self._watched is not None:
            self._watched.forget()

    @property
    def component(self) -> str:
        """The pipeline's attribute that holds the denoiser."""
        return self.method.family.component

    def shares(self, other: Stage) -> bool:
        """Whether both are planned as one: by the same settings, of which one policy decides for the whole run."""
        return self.method.settings is other.method.settings
