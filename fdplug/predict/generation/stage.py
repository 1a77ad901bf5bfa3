"""A stage of a cascade: a further pipeline that goes on with what the one before it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fdplug.checks import choice
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.predict.generation.denoising import Denoising
from fdplug.predict.generation.loading_arguments import check_loading
from fdplug.settings import setting

IMAGE, LATENTS = "image", "latents"


def _text(name: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise ConfigError(f"{name} of a stage is a text, got {shown(value)}")


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{name} of a stage is a list of components, as [text_encoder], got {shown(value)}")
    return tuple(value)


def _propagation(name: str, value: Any) -> PropagationConfig | None:
    return None if value is None else PropagationConfig.of(value)


@dataclass(frozen=True, kw_only=True)
class StageConfig(Denoising):
    """A pipeline that goes on with what the one before it made: an upscaler, a refiner, the next of DeepFloyd-IF.

    Where a pipeline's call takes no size, `size` is that of the picture it is handed.
    """

    what: ClassVar[str] = "setting of a stage"

    model: str | None = setting(None, "its model; that of the stage before if left out", _text)
    pipeline: str | None = setting(None, "the class of diffusers that runs it; the model's own if left out", _text)
    takes: str = setting(
        IMAGE,
        "what it goes on with: the image, as 8 bits a color, or latents",
        lambda name, value: choice(name, value, (IMAGE, LATENTS)),
        choices=(IMAGE, LATENTS),
    )
    shares: tuple[str, ...] = setting((), "components that it takes from the first model, as [text_encoder]", _names)
    propagation: Any = setting(None, "how its features are propagated; not at all if left out", _propagation)
    loading: Mapping[str, Any] | None = setting(
        None, "more of diffusers' loading", lambda name, value: check_loading(value) or None
    )

    def __post_init__(self) -> None:
        """Check the settings, and that they say which pipeline runs.

        Raises:
            ConfigError: a setting is impossible, or neither model nor pipeline is there.
        """
        super().__post_init__()
        if self.model is None and self.pipeline is None:
            raise ConfigError(
                "a stage names its model, or the class of the pipeline that goes on with the model before it, as in "
                "{pipeline: StableDiffusionImg2ImgPipeline}; this one names neither"
            )

    @property
    def is_plain(self) -> bool:
        """Whether the pipeline runs as it is."""
        return self.propagation is None


def check_stages(name: str, value: Any) -> tuple[StageConfig, ...] | None:
    """Return the stages of a list of mappings; None and an empty list are no stages.

    Raises:
        ConfigError: it is no list, or a stage is impossible.
    """
    if value is None or value == "null":
        return None
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} is a list of stages, as [{{model: ..., steps: 50}}], got {shown(value)}")
    return tuple(StageConfig.of(one) for one in value) or None
