"""The pipelines behind the first one of a cascade, loaded, with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.errors import ConfigError, PipelineError, suggestion
from fdplug.errors.wording import one_line
from fdplug.predict.generation.conditioning import check_going_on, image_size
from fdplug.predict.generation.generate import check_size, check_steps
from fdplug.predict.generation.loading import check_model, load_pipeline, pipeline_class
from fdplug.predict.generation.loading_arguments import stock_pipeline
from fdplug.predict.generation.media import IMAGE, kind_of, parameters
from fdplug.predict.generation.stage import StageConfig
from fdplug.profiling.provenance import networks
from fdplug.scores.features.loading import quiet_loading

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

UPSCALED = {"StableDiffusionUpscalePipeline": 4, "StableDiffusionLatentUpscalePipeline": 2}
"""How many times as wide and high the images of upscalers are as those that they are handed."""


@dataclass(frozen=True)
class Stage:
    """A further pipeline of a cascade, with its settings and the scheduler that these ask for."""

    config: StageConfig
    pipe: Any
    scheduler: Any

    def with_settings(self, config: StageConfig) -> Stage:
        """Return the same pipeline with other settings."""
        return Stage(config, self.pipe, _scheduler(self.pipe, config))


def check_stages(stages: Sequence[StageConfig], captions: Sequence[Caption] = ()) -> None:
    """Refuse stages that cannot go on with an image, by the classes of their pipelines, before anything is loaded.

    Raises:
        ConfigError: a class or an argument is unknown.
        PipelineError: a model is not there, or its pipeline takes no image.
    """
    for stage in stages:
        if stage.model is not None:
            check_model(stage.model)
        known = class_of_stage(stage)
        if known is not None:
            check_going_on(known, captions[:1], stage.arguments)


def class_of_stage(stage: StageConfig) -> Any:
    """Return the class of a stage's pipeline; None where only its model knows."""
    if stage.pipeline is None:
        return pipeline_class(str(stage.model))
    found = stock_pipeline(stage.pipeline)
    if found is None:
        import diffusers

        known = [name for name in dir(diffusers) if name.endswith("Pipeline")]
        hint = suggestion(stage.pipeline, known, ";")
        raise ConfigError(
            f"diffusers has no pipeline '{stage.pipeline}'{hint} see "
            "https://huggingface.co/docs/diffusers/api/pipelines/overview"
        )
    return found


def load_stages(pipe: Any, stages: Sequence[StageConfig], **loading: Any) -> tuple[Stage, ...]:
    """Load the pipelines that go on with what `pipe` makes.

    Args:
        pipe: the first pipeline.
        stages: the settings of those behind it.
        loading: how the first was loaded, as `load_pipeline` takes it; `loading` of a stage is its own.

    Raises:
        PipelineError: one cannot be loaded, or takes no image.
        ConfigError: a setting does not fit it.
    """
    found: list[Stage] = []
    for number, config in enumerate(stages, start=2):
        before = found[-1].pipe if found else pipe
        if kind_of(before) != IMAGE:
            raise PipelineError(f"stage {number} goes on with an image; {type(before).__name__} makes none")
        made = _same_model(before, config) if config.model is None else _loaded(pipe, config, loading)
        check_going_on(made, (), config.arguments)
        if "height" in parameters(made):
            check_size(made, config.size)
        found.append(Stage(config, made, _scheduler(made, config)))
    return tuple(found)


def _same_model(before: Any, config: StageConfig) -> Any:
    """Return another pipeline of the same components."""
    try:
        with quiet_loading():
            made = class_of_stage(config).from_pipe(before, dtype=before.dtype)
    except (ValueError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"{config.pipeline} cannot go on with the components of {type(before).__name__}: {one_line(error, 160)}; "
            "give its model"
        ) from error
    made.set_progress_bar_config(disable=True)
    return made


def _loaded(first: Any, config: StageConfig, loading: Mapping[str, Any]) -> Any:
    missing = [name for name in config.shares if first.components.get(name) is None]
    if missing:
        raise ConfigError(f"stage {config.model}: {type(first).__name__} has no {missing[0]} to share")
    shared = {name: first.components[name] for name in config.shares}
    options: dict[str, Any] = {**loading, "loading": config.loading, "components": shared, "needs_prompt": False}
    return load_pipeline(str(config.model), cls=class_of_stage(config) if config.pipeline else None, **options)


def _scheduler(pipe: Any, config: StageConfig) -> Any:
    scheduler = registry.build("sampler", config.sampler).fit(pipe.scheduler)
    check_steps(scheduler, config.resolved_steps)
    return scheduler


def all_networks(pipe: Any, stages: Sequence[Stage]) -> dict[str, str]:
    """Return a short hash of every network of a cascade; those behind the first pipeline have its number before."""
    found = networks(pipe)
    for number, stage in enumerate(stages, start=2):
        found |= {f"{number}.{name}": value for name, value in networks(stage.pipe).items()}
    return found


def final_size(pipe: Any, stages: Sequence[Stage], size: int | None = None) -> tuple[int, int]:
    """Return height and width of the images that a cascade ends with; `size` is that of the first pipeline's.

    Raises:
        ConfigError: a pipeline does not say.
    """
    found = image_size(pipe, size)
    for stage in stages:
        if "height" in parameters(stage.pipe):
            found = image_size(stage.pipe, stage.config.size)
        elif stage.config.size is not None:
            found = (stage.config.size, stage.config.size)
        times = UPSCALED.get(type(stage.pipe).__name__, 1)
        found = (found[0] * times, found[1] * times)
    return found
