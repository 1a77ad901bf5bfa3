"""Text to image as a Lightning module, for prediction only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule

import fdplug
from fdplug import registry
from fdplug.checks import check_choice
from fdplug.predict.data.captions import SHAPES, Caption
from fdplug.predict.generation.batch_size import Room
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.generate import Look, check_size, run
from fdplug.predict.generation.loading import check_model, default_guidance, load_pipeline, resolve_dtype
from fdplug.predict.generation.validation import DTYPES, check_propagation, check_run, name_of, plain
from fdplug.predict.lightning.plugin_types import CacheSpec, InjectorSpec, PolicySpec, SamplerSpec, TransformSpec
from fdplug.predict.lightning.prediction import Drawn, Earlier, Prediction, gathered
from fdplug.profiling.provenance import networks


class TextToImage(LightningModule):
    """Draw captions with a diffusers pipeline, with or without propagation.

    The image of a caption depends on `seed` and its image id alone, not on the batch it falls into. Weights are loaded
    in `setup`, from safetensors only unless `allow_pickle`; code that comes with a model is never run.

    Args:
        model: `shapes` (the embedded model), a hub id, or the folder of a diffusers pipeline.
        sampler: A sampler by name, such as `ddim` or `dpm-solver++`.
        steps: Denoising steps; the sampler's own default if left out.
        guidance: Guidance scale; the model's own default if left out.
        propagate: Whether to replay features at all; without it the pipeline runs as it is.
        policy: Which steps are key steps: `paper`, `{uniform: {interval: 4}}`, ...
        cache: How features of key steps become those of the others.
        injector: Noise that is put back late in the run.
        part: What is computed at key steps only: `encoder`, `{deepcache: {branch: 1}}`, ...
        decoding: `parallel` (a whole span in one batch), `serial`, or `auto`.
        max_span_batch: Most rows decoded in one batch; `auto`: as many as a quarter more memory allows.
        transforms: Further changes of the pipeline.
        seed: Seed of the run.
        dtype: `auto` (float16 on a GPU), `float32`, `float16` or `bfloat16`.
        size: Height and width in pixels; the model's own if left out.
        allow_pickle: Also load `.bin` weights, which can run code when loaded.
        safety_checker: Keep the model's safety checker, if it has one; it blackens images and so changes scores.
    """

    def __init__(
        self,
        model: str = SHAPES,
        sampler: SamplerSpec = SamplerSpec("ddim"),  # noqa: B008
        steps: int | None = None,
        guidance: float | None = None,
        propagate: bool = True,
        policy: PolicySpec = PolicySpec("paper"),  # noqa: B008
        cache: CacheSpec = CacheSpec("reuse"),  # noqa: B008
        injector: InjectorSpec = InjectorSpec("prior"),  # noqa: B008
        part: str | dict[str, Any] = "encoder",
        decoding: str = "auto",
        max_span_batch: int | str | None = None,
        transforms: list[TransformSpec] = [],  # noqa: B006
        seed: int = 0,
        dtype: str = "float32",
        size: int | None = None,
        allow_pickle: bool = False,
        safety_checker: bool = True,
    ) -> None:
        super().__init__()
        check_choice("dtype", dtype, DTYPES)
        check_run(steps=steps, guidance=guidance, seed=seed, size=size)
        check_model(model)
        settings = {
            "policy": PolicySpec(policy).value,
            "cache": CacheSpec(cache).value,
            "injector": InjectorSpec(injector).value,
            "part": part,
            "decoding": decoding,
            "max_span_batch": max_span_batch,
            "transforms": [TransformSpec(transform).value for transform in transforms],
        }
        self.propagation = check_propagation(settings) if propagate else None
        self.model = model
        self.sampler = registry.build("sampler", SamplerSpec(sampler).value)
        self.sampler_spec = SamplerSpec(sampler).value
        guidance = default_guidance(model) if guidance is None else guidance
        self.look = Look(steps=steps or self.sampler.steps, guidance=guidance, size=size, seed=seed)
        self.loading = {"dtype": dtype, "allow_pickle": allow_pickle, "safety_checker": safety_checker}
        self.on_step: Callable[[int, int], None] | None = None
        self.earlier = Earlier(Path(), {})
        self.ledger: Any = None
        self.pipe: Any = None
        self._propagation: Any = None
        self._room = Room()

    def settings(self, device: torch.device | str) -> dict[str, Any]:
        """Everything that decides what the images look like, as json holds it."""
        return {
            "model": self.model,
            "sampler": plain(self.sampler_spec),
            "steps": self.look.steps,
            "guidance": self.look.guidance,
            "size": self.look.size,
            "seed": self.look.seed,
            "propagate": plain(self.propagation),
            "dtype": str(resolve_dtype(self.loading["dtype"], device)).removeprefix("torch."),
            "safety_checker": self.loading["safety_checker"],
        }

    @property
    def variant(self) -> str:
        """The settings in short: sampler, steps, and the policy if features are propagated."""
        name = f"{name_of('sampler', self.sampler_spec)}-{self.look.steps}"
        return name if self.propagation is None else f"{name}+{name_of('policy', self.propagation['policy'])}"

    def weights(self) -> dict[str, str]:
        """A short hash of each network of the pipeline, once it is loaded."""
        return networks(self.pipe)

    def configure_callbacks(self) -> list[Callback]:
        """One that lets go of the pipeline when something goes wrong."""
        return [_LetGo()]

    def setup(self, stage: str) -> None:
        """Load the pipeline onto the device of this rank; it is no submodule, so nothing broadcasts or casts it."""
        device = self.trainer.strategy.root_device
        self.pipe = load_pipeline(self.model, device=device, needs_prompt=False, **self.loading)
        given: Any = getattr(self.trainer, "datamodule", None)
        check_conditioning(self.pipe, given.captions if given else [], self.look.size)
        check_size(self.pipe, self.look.size)
        self.pipe.scheduler = self.sampler.build(self.pipe.scheduler.config)
        if self.propagation is not None:
            self._propagation = fdplug.propagate(self.pipe, **self.propagation)

    def predict_step(self, batch: list[Caption], batch_idx: int = 0, dataloader_idx: int = 0) -> Prediction:
        """Draw one batch, but for the images that an interrupted run has left."""
        earlier = {caption.image_id: done for caption in batch if (done := self.earlier.read(caption)) is not None}
        missing = [caption for caption in batch if caption.image_id not in earlier]
        drawn = self._draw(missing) if missing else []
        both = earlier | {one.caption.image_id: one for one in drawn}
        return gathered([both[caption.image_id] for caption in batch], drawn)

    def _draw(self, captions: list[Caption]) -> list[Drawn]:
        done = self._room.draw(captions, lambda some: run(self.pipe, some, self.look, self._propagation, self.on_step))
        self.ledger = done.ledger
        count, key_steps = len(captions), None if done.ledger is None else len(done.ledger.key_steps)
        costs = (done.seconds / count, done.denoiser_seconds / count, done.gflops(), key_steps)
        images = [image if whole else None for image, whole in zip(done.images, done.whole, strict=True)]
        return [Drawn(caption, image, *costs) for caption, image in zip(captions, images, strict=True)]

    def teardown(self, stage: str) -> None:
        """Let go of the pipeline, as it was."""
        if self._propagation is not None:
            self._propagation.remove()
        self._propagation = self.pipe = None


class _LetGo(Callback):
    """Undoes propagation after an error: Lightning tears modules down only if there was none."""

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        pl_module.teardown("predict")
