"""Text to image as a Lightning module, for prediction only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule

import fdplug
from fdplug import registry
from fdplug.checks import check_choice
from fdplug.config import PropagationConfig, name_of, refuse_flat
from fdplug.errors import ConfigError
from fdplug.predict.data.captions import SHAPES, Caption
from fdplug.predict.generation.batch_size import ShrinkingBatch
from fdplug.predict.generation.cascade import run_all
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.denoising import Denoising
from fdplug.predict.generation.generate import check_size, check_steps
from fdplug.predict.generation.generated_images import generated_images
from fdplug.predict.generation.loaded_stages import Stage, all_networks, check_stages, load_stages
from fdplug.predict.generation.loading import (
    DTYPES,
    check_model,
    load_pipeline,
    own_settings,
    pipeline_class,
    resolve_dtype,
)
from fdplug.predict.generation.loading_arguments import check_loading
from fdplug.predict.lightning.callbacks.progress_bar import step_watcher
from fdplug.predict.lightning.image_writer import image_store
from fdplug.predict.lightning.prediction import Prediction, gathered
from fdplug.predict.storage.image_store import GeneratedImage, ImageStore
from fdplug.presets.fitting import check_preset
from fdplug.presets.preset import Preset, load
from fdplug.settings import plain


class TextToImage(LightningModule):
    """Generate images of captions with a diffusers pipeline, with or without propagation.

    The image of a caption depends on `seed` and its image id alone, not on the batch it falls into. Weights are loaded
    in `setup`, from safetensors only unless `allow_pickle`; code that comes with a model is never run.

    Args:
        model: `shapes` or `shapes-flow` (embedded), a hub id, or the folder of a diffusers pipeline.
        propagation: how features are propagated; None runs the pipeline as it is.
        dtype: `auto` (float16 on a GPU), `float32`, `float16` or `bfloat16`.
        allow_pickle: also load `.bin` weights, which can run code when loaded.
        safety_checker: keep the model's safety checker, if it has one; it blackens images and so changes scores.
        preset: a file that `fdplug optimize` wrote, or the name of a preset of the package: sampler, steps,
            guidance and propagation. Settings of `generation` go on top; another number of steps rescales it.
        loading: more arguments of loading: `variant`, `revision`, `quantization_config`, `components` from files, for a
            model in one file `config` or `pipeline`, and the others of diffusers that `check_loading` knows.
        generation: the settings of `GenerationConfig`.
    """

    def __init__(
        self,
        model: str = SHAPES,
        propagation: PropagationConfig | None = PropagationConfig(),  # noqa: B008
        dtype: str = "float32",
        allow_pickle: bool = False,
        safety_checker: bool = True,
        preset: str | None = None,
        loading: dict[str, Any] | None = None,
        **generation: Any,
    ) -> None:
        super().__init__()
        refuse_flat(generation)
        GenerationConfig.check_names(generation)
        check_choice("dtype", dtype, DTYPES)
        self.preset = None if preset is None else load(preset)
        chosen: Any = propagation
        if self.preset is not None:
            chosen, generation = _chosen(self.preset, propagation, generation)
        self.propagation = None if chosen is None else PropagationConfig.of(chosen)
        self.generation = GenerationConfig(**generation)
        check_model(model)
        self.generation = self.generation.resolved(**own_settings(model))
        self.model = model
        self.loading: dict[str, Any] = {
            "dtype": dtype,
            "allow_pickle": allow_pickle,
            "safety_checker": safety_checker,
            "loading": check_loading(loading) or None,
        }
        self._store: ImageStore | None = None
        self._on_step: Callable[[int, int], None] | None = None
        self.ledger: Any = None
        self.pipe: Any = None
        self._propagation: Any = None
        self._stages: tuple[Stage, ...] = ()
        self._batch = ShrinkingBatch()

    def settings(self, device: torch.device | str) -> dict[str, Any]:
        """Everything that decides what the images look like, as json holds it."""
        return {
            "model": self.model,
            **self.generation.described(),
            "propagation": plain(self.propagation),
            "dtype": str(resolve_dtype(self.loading["dtype"], device)).removeprefix("torch."),
            "safety_checker": self.loading["safety_checker"],
            "loading": plain(self.loading.get("loading")),
        }

    @property
    def variant(self) -> str:
        """The settings in short: sampler, steps, and the policy if features are propagated."""
        first = (self.generation, self.propagation)
        return ", ".join(_short(*one) for one in (first, *((one, one.propagation) for one in self.generation.stages)))

    def weights(self) -> dict[str, str]:
        """A short hash of each network of the pipeline, once it is loaded."""
        return all_networks(self.pipe, self._stages)

    def configure_callbacks(self) -> list[Callback]:
        """One that lets go of the pipeline when something goes wrong."""
        return [_LetGo()]

    def setup(self, stage: str) -> None:
        """Load the pipeline onto the device of this rank; it is no submodule, so nothing broadcasts or casts it.

        Take what the callbacks of the trainer offer: the images of an interrupted run, and a bar over denoising steps.
        """
        self._store = image_store(self.trainer)
        self._on_step = step_watcher(self.trainer)
        device = self.trainer.strategy.root_device
        given: Any = getattr(self.trainer, "datamodule", None)
        wanted = (given.captions if given else [], self.generation.size, self.generation.arguments)
        known = pipeline_class(self.model, self.loading["loading"])
        if known is not None:
            check_conditioning(known, *wanted)  # before weights are loaded
        check_stages(self.generation.stages, wanted[0])
        self.pipe = load_pipeline(self.model, device=device, needs_prompt=False, **self.loading)
        check_conditioning(self.pipe, *wanted)
        check_size(self.pipe, self.generation.size)
        if self.preset is not None:
            check_preset(self.preset, self.pipe, self.generation.size)
        self.pipe.scheduler = registry.build("sampler", self.generation.sampler).fit(self.pipe.scheduler)
        check_steps(self.pipe.scheduler, self.generation.resolved_steps)
        self._stages = load_stages(self.pipe, self.generation.stages, device=device, **self.loading)
        if self._stages:
            self._propagation = self.propagation  # on during its own stage alone: pipelines may share a denoiser
        elif self.propagation is not None:
            self._propagation = fdplug.propagate(self.pipe, self.propagation)

    def predict_step(self, batch: list[Caption], batch_idx: int = 0, dataloader_idx: int = 0) -> Prediction:
        """Generate one batch, but for the images that an interrupted run has left."""
        earlier = self._earlier(batch)
        missing = [caption for caption in batch if caption.image_id not in earlier]
        generated = self._generate(missing) if missing else []
        both = earlier | {one.id: one for one in generated}
        return gathered(batch, [both[caption.image_id] for caption in batch], generated)

    def _earlier(self, captions: list[Caption]) -> dict[int, GeneratedImage]:
        """Return what the image store has of these captions, by image id."""
        if self._store is None:
            return {}
        variant = self.variant
        found = (self._store.read(variant, caption.image_id) for caption in captions)
        return {one.id: one for one in found if one is not None}

    def _generate(self, captions: list[Caption]) -> list[GeneratedImage]:
        stages, given = self._stages, (self.generation, self._propagation, self._on_step)
        counts = any(one.config.propagation is not None for one in stages) or (bool(stages) and given[1] is not None)
        output = self._batch.generate(captions, lambda some: run_all(self.pipe, stages, some, *given, counts))
        self.ledger = output.ledger
        return generated_images(
            output,
            captions,
            seed=self.generation.seed,
            variant=self.variant,
            gflops=output.gflops(),
            key_steps=output.num_key_steps,
        )

    def teardown(self, stage: str) -> None:
        """Let go of the pipeline, as it was."""
        if self._propagation is not None and not self._stages:
            self._propagation.remove()
        self._propagation = self.pipe = self._store = self._on_step = None
        self._stages = ()


def _short(run: Denoising, propagation: Any) -> str:
    name = f"{name_of('sampler', run.sampler)}-{run.resolved_steps}"
    return name if propagation is None else f"{name}+{name_of('policy', propagation.policy)}"


def _chosen(
    preset: Preset, propagation: PropagationConfig | None, generation: dict[str, Any]
) -> tuple[Mapping[str, Any] | None, dict[str, Any]]:
    """Return propagation and generation of a preset, what was given besides on top of it.

    Raises:
        ConfigError: propagation was given too, or the preset cannot be rescaled to the steps that were given.
    """
    if propagation != PropagationConfig():
        raise ConfigError("give either model.preset or model.propagation: a preset holds every setting of it")
    preset, generation = preset.under(GenerationConfig(**generation).chosen())
    return preset.settings.propagation, generation


class _LetGo(Callback):
    """Undoes propagation after an error: Lightning tears modules down only if there was none."""

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        pl_module.teardown("predict")
