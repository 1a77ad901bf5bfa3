"""What decides one run of a pipeline, whatever it begins from: sampler, steps, guidance, size, arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fdplug import registry
from fdplug.checks import number, whole
from fdplug.config import plugin
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.registry import Spec
from fdplug.settings import Settings, setting

SIZE_LEAST = 8


def _given_whole(least: int) -> Any:
    """Return the check of a whole number that may be left out."""
    return lambda name, value: None if value is None else whole(name, value, least)


def _guidance(name: str, value: Any) -> float | None:
    return None if value is None else number(name, value, 0)


def _arguments(name: str, value: Any) -> dict[str, Any] | None:
    """Check a mapping; whether the pipeline takes such arguments is known with its class."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} is a mapping of the pipeline's own arguments, got {shown(value)}")
    return dict(value)


@dataclass(frozen=True, kw_only=True)
class Denoising(Settings):
    """What decides one run of a pipeline."""

    sampler: Spec = plugin("sampler", "own", "a sampler; own: the pipeline's scheduler")
    steps: int | None = setting(
        None, "denoising steps; the sampler's own default if left out", _given_whole(1), reads=int
    )
    guidance: float | None = setting(
        None, "guidance scale; the model's own default if left out", _guidance, reads=float
    )
    size: int | None = setting(
        None, "height and width in pixels; the model's own if left out", _given_whole(SIZE_LEAST), reads=int
    )
    arguments: Mapping[str, Any] | None = setting(
        None, "more arguments of the pipeline's call: {num_frames: 16}", _arguments
    )

    @property
    def resolved_steps(self) -> int:
        """The steps of the run, the sampler's own default filled in."""
        return self.steps if self.steps is not None else registry.build("sampler", self.sampler).steps

    def call_options(self) -> dict[str, Any]:
        """Return the keyword arguments of the pipeline call."""
        options = {"guidance_scale": self.guidance, "height": self.size, "width": self.size}
        given = {key: value for key, value in options.items() if value is not None}
        own = dict(self.arguments or {})
        return {**registry.build("sampler", self.sampler).arguments(self.resolved_steps), **given, **own}
