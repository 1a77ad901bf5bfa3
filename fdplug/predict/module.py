"""Text to image as a Lightning module, for prediction only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lightning.pytorch import LightningModule
from torch import Tensor

from fdplug import registry
from fdplug.predict.captions import SHAPES, Caption
from fdplug.predict.generation import Look, check_size, run
from fdplug.predict.pipelines import check_model, default_guidance, load_pipeline
from fdplug.predict.settings import DTYPES, check_choice, check_propagation, check_run
from fdplug.predict.specs import CacheSpec, InjectorSpec, PolicySpec, SamplerSpec, TransformSpec


class Prediction(NamedTuple):
    """What `predict_step` returns: images (N, 3, H, W) uint8 on the CPU, their captions, and the seconds it took."""

    images: Tensor
    captions: list[Caption]
    seconds: float
    denoiser_seconds: float


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
        max_span_batch: Largest number of steps decoded in one batch.
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
        max_span_batch: int | None = None,
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
        self.look = Look(steps=steps or self.sampler.steps, guidance=guidance, size=size, seed=seed)
        self.loading = {"dtype": dtype, "allow_pickle": allow_pickle, "safety_checker": safety_checker}
        self.on_step: Callable[[int, int], None] | None = None
        self.ledger: Any = None
        self.pipe: Any = None

    def setup(self, stage: str) -> None:
        """Load the pipeline onto the device of this rank; it is no submodule, so nothing broadcasts or casts it."""
        device = self.trainer.strategy.root_device
        pipe = load_pipeline(self.model, device=device, **self.loading)
        check_size(pipe, self.look.size)
        pipe.scheduler = self.sampler.build(pipe.scheduler.config)
        if self.look.guidance is None:
            self.look = self.look.with_guidance(default_guidance(self.model))
        self.pipe = pipe

    def predict_step(self, batch: list[Caption], batch_idx: int = 0, dataloader_idx: int = 0) -> Prediction:
        """Draw one batch."""
        done = run(self.pipe, batch, self.look, self.propagation, self.on_step)
        self.ledger = done.ledger
        return Prediction(done.images, batch, done.seconds, done.denoiser_seconds)

    def teardown(self, stage: str) -> None:
        """Let go of the pipeline."""
        self.pipe = None
