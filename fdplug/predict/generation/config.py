"""What decides the images besides captions and propagation: the only list of these settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fdplug.checks import whole
from fdplug.predict.generation.denoising import Denoising
from fdplug.predict.generation.stage import StageConfig, check_stages
from fdplug.settings import setting


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(Denoising):
    """What decides the images besides captions and propagation.

    Each image's own seed is made from `seed` and its image id, so it does not depend on the batch it falls into.
    """

    what: ClassVar[str] = "generation setting"

    seed: int = setting(0, "seed of the run", lambda name, value: whole(name, value, 0), reads=int)
    then: Sequence[Any] | None = setting(None, "pipelines behind it: [{model: M, steps: 50}]", check_stages)

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """The pipelines that go on with the image, in order."""
        return tuple(self.then or ())

    @property
    def all_steps(self) -> int:
        """The steps of all stages."""
        return self.resolved_steps + sum(stage.resolved_steps for stage in self.stages)

    def resolved(self, guidance: float | None = None, arguments: Mapping[str, Any] | None = None) -> GenerationConfig:
        """Return the same with steps filled in, and the model's own `guidance` and `arguments` where not given."""
        given = guidance if self.guidance is None else self.guidance
        own = {**(arguments or {}), **(self.arguments or {})} or None
        return self.changed(steps=self.resolved_steps, guidance=given, arguments=own)
