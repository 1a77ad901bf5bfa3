"""The pipelines that are compared: Stable Diffusion v1.5, SDXL, DiT-XL/2, ControlNet, and small transformers.

`full` builds them from their public configurations; time, memory and FLOPs do not depend on the weights. Text encoders
are left out, as every method runs them alike: prompts are random embeddings. `tiny` takes the systems of
`fdplug.testing.systems`. Flux, PixArt and DiT are also there with as many blocks as matter to caches and few features,
so that all of their peers run within a minute on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gflops import SD15
from fdplug.registry import Spec
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.controlnet import controlnet
from fdplug.testing.systems.system import picture, silent
from fdplug.testing.systems.transformers import flux_transformer, randomized

# stabilityai/stable-diffusion-xl-base-1.0, unet/config.json
SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
# facebook/DiT-XL-2-256, transformer/config.json
DIT = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "sample_size": 32,
    "patch_size": 2,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": False,
}
# stabilityai/sd-vae-ft-mse, config.json
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
# Small transformers: 192 features, 64 picture tokens
SMALL_DIT = {**DIT, "num_attention_heads": 6, "attention_head_dim": 32, "num_layers": 12, "sample_size": 16}
SMALL_PIXART = {
    "num_layers": 12,
    "num_attention_heads": 8,
    "attention_head_dim": 24,
    "in_channels": 4,
    "out_channels": 8,
    "cross_attention_dim": 192,
    "caption_channels": 16,
    "sample_size": 128,  # pipelines hand over sizes to a model of this size only
    "use_additional_conditions": True,
}
SMALL_FLUX = {
    "num_layers": 5,
    "num_single_layers": 10,
    "num_attention_heads": 6,
    "attention_head_dim": 32,
    "axes_dims_rope": (8, 12, 12),
}
DDIM = {"beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One pipeline.

    Attributes:
        title: how tables call it.
        image: width and height in pixels at full size.
        policy: its key steps. DiT's published ones are 166 of 250 steps, none further than 8 from the next: in a run of
            50 or less they are nearly all steps, so that nothing would be left to compare.
        networks: the pipeline's attributes that hold what runs at every step.
        tome: token merging's `max_downsample` for it; 0 where it does not apply.
        build: returns the pipeline at full size.
        arguments: arguments of a call for n images of a size.
        cache_threshold: of First Block Cache and DBCache; random weights change more per step than trained ones.
        guidance_distilled: whether guidance is an argument of the network, and no rows are compared.
        tiny: the system of `fdplug.testing.systems` that stands for it.
    """

    title: str
    image: int
    networks: tuple[str, ...] = ("unet",)
    policy: Spec = "paper"
    tome: int = 1
    build: Callable[[], Any]
    arguments: Callable[[int, int], dict[str, Any]]
    cache_threshold: float = 0.3
    guidance_distilled: bool = False
    tiny: str

    def make(self, size: str, device: str, dtype: torch.dtype) -> Any:
        """Return the pipeline in evaluation mode, from fixed random weights."""
        if size == "tiny":
            pipe = SYSTEMS[self.tiny].make()
        else:
            torch.manual_seed(0)
            with torch.device(device):
                pipe = silent(self.build())
        with _quiet():  # random weights have nothing to lose in a cast
            return pipe.to(device, dtype)

    def call(self, size: str, images: int, pixels: int, device: str, dtype: torch.dtype) -> dict[str, Any]:
        """Return the arguments of a call, tensors where the pipeline is."""
        given = dict(SYSTEMS[self.tiny].arguments(images)) if size == "tiny" else self.arguments(images, pixels)
        moved = {
            name: value.to(device, dtype) if isinstance(value, torch.Tensor) else value for name, value in given.items()
        }
        return {**moved, "output_type": "np"}


@contextmanager
def _quiet() -> Iterator[None]:
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**VAE).eval()


def _sd15() -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(**SD15).eval(),
        vae=_vae(),
        text_encoder=None,
        tokenizer=None,
        scheduler=DDIMScheduler(**DDIM),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _controlled() -> Any:
    from diffusers import StableDiffusionControlNetPipeline

    parts = _sd15().components
    return StableDiffusionControlNetPipeline(
        **parts, controlnet=controlnet(parts["unet"], (16, 32, 96, 256)), requires_safety_checker=False
    )


def _sdxl() -> Any:
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    return StableDiffusionXLPipeline(
        unet=UNet2DConditionModel(**SDXL).eval(),
        vae=_vae(),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        scheduler=DDIMScheduler(**DDIM),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def _dit() -> Any:
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    return DiTPipeline(
        transformer=DiTTransformer2DModel(**DIT).eval(), vae=_vae(), scheduler=DDIMScheduler(clip_sample=False)
    )


def _small(name: str, **components: Callable[[], Any]) -> Any:
    """Return a tiny system with some of its components exchanged."""
    pipe = SYSTEMS[name].make()
    for component, build in components.items():
        setattr(pipe, component, randomized(build()))
    return pipe


def _small_dit() -> Any:
    from diffusers import DiTTransformer2DModel

    return _small("dit", transformer=lambda: DiTTransformer2DModel(**SMALL_DIT))


def _small_pixart() -> Any:
    from diffusers import PixArtTransformer2DModel

    return _small("pixart", transformer=lambda: PixArtTransformer2DModel(**SMALL_PIXART))


def _small_flux() -> Any:
    pipe = _small("flux", transformer=lambda: flux_transformer(**SMALL_FLUX))
    pipe.vae.register_to_config(shift_factor=0.1)
    return pipe


def _text(images: int, pixels: int) -> dict[str, Any]:
    text = _random(images, 77, 768)
    return {"prompt_embeds": text, "negative_prompt_embeds": -text, "height": pixels, "width": pixels}


def _text_and_picture(images: int, pixels: int) -> dict[str, Any]:
    return {**_text(images, pixels), "image": picture(images, pixels)}


def _two_texts(images: int, pixels: int) -> dict[str, Any]:
    text, pooled = _random(images, 77, 2048), _random(images, 1280)
    return {
        "prompt_embeds": text,
        "negative_prompt_embeds": -text,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": -pooled,
        "height": pixels,
        "width": pixels,
    }


def _sized(name: str, without: tuple[str, ...] = ()) -> Callable[[int, int], dict[str, Any]]:
    """Return the arguments of a tiny system, at another size."""

    def arguments(images: int, pixels: int) -> dict[str, Any]:
        given = {key: value for key, value in SYSTEMS[name].arguments(images).items() if key not in without}
        return {**given, "height": pixels, "width": pixels}

    return arguments


def _labels(images: int, pixels: int) -> dict[str, Any]:
    return {"class_labels": [index * 37 % 1000 for index in range(images)]}


_SMALL: dict[str, Any] = {
    "image": 32,
    "networks": ("transformer",),
    "policy": {"uniform": {"interval": 2}},
    "tome": 0,
}
ARCHITECTURES = {
    "sd15": Architecture(title="SD v1.5", image=512, build=_sd15, arguments=_text, tiny="sd"),
    "sdxl": Architecture(title="SDXL", image=1024, tome=2, build=_sdxl, arguments=_two_texts, tiny="sdxl"),
    "dit": Architecture(
        title="DiT-XL/2",
        image=256,
        networks=("transformer",),
        policy={"uniform": {"interval": 2}},
        tome=0,
        build=_dit,
        arguments=_labels,
        tiny="dit",
    ),
    "controlnet": Architecture(
        title="SD v1.5 + ControlNet",
        image=512,
        networks=("unet", "controlnet"),
        build=_controlled,
        arguments=_text_and_picture,
        tiny="controlnet",
    ),
    "small-dit": Architecture(
        title="DiT, small",
        **_SMALL,
        build=_small_dit,
        arguments=_labels,
        tiny="dit",
    ),
    "small-pixart": Architecture(
        title="PixArt, small",
        **_SMALL,
        build=_small_pixart,
        arguments=_sized("pixart"),
        tiny="pixart",
    ),
    "small-flux": Architecture(
        title="Flux, small",
        **_SMALL,
        build=_small_flux,
        arguments=_sized("flux", without=("true_cfg_scale", "negative_prompt_embeds", "negative_pooled_prompt_embeds")),
        cache_threshold=0.6,
        guidance_distilled=True,
        tiny="flux",
    ),
}
