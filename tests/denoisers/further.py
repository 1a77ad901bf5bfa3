"""Pipelines beyond the support table, at tiny size: other loops around denoisers that the table has."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from fdplug.testing import tiny_unet
from fdplug.testing.systems import SYSTEMS, System
from fdplug.testing.systems.controlnet import controlnet, filled
from fdplug.testing.systems.stable_diffusion import SMALL, text_to_image
from fdplug.testing.systems.stable_diffusion_xl import components
from fdplug.testing.systems.system import image_encoder, noise, picture, words

OFF = ("requires_safety_checker", "add_watermarker", "requires_aesthetics_score")
LATENT = {"output_type": "latent"}


def assembled(name: str, parts: dict[str, Any]) -> Any:
    """Return the pipeline of this class, of those of the parts that it takes; what it needs besides is absent."""
    import diffusers

    cls = getattr(diffusers, name)
    taken = inspect.signature(cls).parameters
    needed = {key for key, one in taken.items() if one.default is one.empty}
    given = {**dict.fromkeys(needed), **dict.fromkeys(OFF, False), **parts}
    return cls(**{key: value for key, value in given.items() if key in taken})


def further(name: str, parts: Any, arguments: Any, **system: Any) -> System:
    """Return a system of a pipeline class; `parts` returns its components and `arguments` those of a call."""

    def build() -> Any:
        return assembled(name, parts())

    return System(name=name, title=name, pipeline=name, build=build, arguments=arguments, **system)


def sd(**unet: Any) -> dict[str, Any]:
    """Return components of Stable Diffusion, with this U-Net where its configuration changes."""
    made = dict(SYSTEMS["sd-img2img"].build().components)
    return {**made, "unet": tiny_unet(**{**SMALL, **unet})} if unet else made


def controlled(parts: dict[str, Any]) -> dict[str, Any]:
    """Return these components with a ControlNet of their U-Net."""
    return {**parts, "controlnet": controlnet(parts["unet"])}


def of(system: str) -> dict[str, Any]:
    """Return the components of a system's pipeline."""
    return dict(SYSTEMS[system].build().components)


def perturbed(parts: dict[str, Any]) -> dict[str, Any]:
    """Return these components with the attention that perturbed-attention guidance replaces: the decoder's."""
    return {**parts, "pag_applied_layers": ["up"]}


def moved(parts: dict[str, Any], **adapter: Any) -> dict[str, Any]:
    """Return these components with a motion adapter."""
    from diffusers import MotionAdapter

    made = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
        **adapter,
    )
    return {**parts, "motion_adapter": filled(made).eval()}


def sparsely_controlled() -> dict[str, Any]:
    """Return AnimateDiff's components with a ControlNet for single frames."""
    from diffusers import SparseControlNetModel

    net = SparseControlNetModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
        conditioning_embedding_out_channels=(8, 16),
        motion_max_seq_length=8,
        motion_num_attention_heads=2,
        use_simplified_condition_embedding=False,
        conditioning_channels=3,
    )
    return {**moved(sd()), "controlnet": filled(net).eval()}


def inverting() -> dict[str, Any]:
    """Return the components of DiffEdit."""
    from diffusers import DDIMInverseScheduler

    parts = sd()
    return {**parts, "inverse_scheduler": DDIMInverseScheduler.from_config(parts["scheduler"].config)}


def solved(parts: dict[str, Any]) -> dict[str, Any]:
    """Return these components with the scheduler of LEdits++."""
    from diffusers import DPMSolverMultistepScheduler

    config = {"beta_schedule": "scaled_linear", "algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    return {**parts, "scheduler": DPMSolverMultistepScheduler(**config)}


def grounded(kind: str) -> dict[str, Any]:
    """Return the components of GLIGEN, whose U-Net is told where in the picture things are."""
    from diffusers.pipelines.stable_diffusion import CLIPImageProjection
    from transformers import CLIPProcessor

    parts = sd(attention_type=kind)
    filled(parts["unet"])
    seen = image_encoder()
    processor = CLIPProcessor(image_processor=seen["feature_extractor"], tokenizer=parts["tokenizer"])
    return {**parts, **seen, "processor": processor, "image_project": CLIPImageProjection(hidden_size=16).eval()}


def changed(network: Any, **config: Any) -> Any:
    """Return a network of the same class with random weights and this configuration beside its own."""
    return filled(type(network).from_config({**network.config, **config})).eval()


def mask(n: int, size: int = 16) -> torch.Tensor:
    """Return masks whose right half is to be filled."""
    made = torch.zeros(n, 1, size, size)
    made[..., size // 2 :] = 1
    return made


def img2img(n: int, size: int = 16) -> dict[str, Any]:
    return {"prompt": words(n), "image": picture(n, size), "strength": 0.8, "num_inference_steps": 8, **LATENT}


def inpaint(n: int) -> dict[str, Any]:
    return {**img2img(n), "mask_image": mask(n), "height": 16, "width": 16}


def with_control(arguments: Any, name: str = "control_image") -> Any:
    return lambda n: {**arguments(n), name: picture(n, seed=5)}


def with_pag(arguments: Any) -> Any:
    return lambda n: {**arguments(n), "pag_scale": 2.0}


def edit(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "image": picture(n), "guidance_scale": 4.0, "image_guidance_scale": 1.5, **LATENT}


def diffedit(n: int) -> dict[str, Any]:
    latents = noise(n, 4, 4, 8, 8)  # one for every step at the default strength
    return {"prompt": words(n), "mask_image": mask(n, 8), "image_latents": latents, "num_inference_steps": 6, **LATENT}


def boxed(n: int) -> dict[str, Any]:
    where = {"gligen_phrases": ["red circle"], "gligen_boxes": [[0.1, 0.1, 0.6, 0.6]]}
    return {**text_to_image(n), **where}


def video(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "num_frames": 3, "height": 16, "width": 16, **LATENT}


def frames(count: int = 3) -> list[Any]:
    from diffusers.image_processor import VaeImageProcessor

    return VaeImageProcessor.numpy_to_pil(picture(count).permute(0, 2, 3, 1).numpy())


def zero(n: int) -> dict[str, Any]:
    sized = {"height": 16, "width": 16, "video_length": 3, "t0": 3, "t1": 5}
    return {"prompt": words(1)[0], "num_inference_steps": 10, **sized, **LATENT}


def kandinsky(n: int, **more: Any) -> dict[str, Any]:
    return {**SYSTEMS["kandinsky22"].arguments(n), "image": frames(1)[0].resize((64, 64)), **more}


def flux(n: int) -> dict[str, Any]:
    return {**SYSTEMS["flux-img2img"].arguments(n), "height": 16, "width": 16}


ONE = {"largest": 1}
FURTHER = (
    further("StableDiffusionXLInpaintPipeline", components, inpaint),
    further("StableDiffusionControlNetImg2ImgPipeline", lambda: controlled(sd()), with_control(img2img)),
    further("StableDiffusionControlNetInpaintPipeline", lambda: controlled(sd()), with_control(inpaint)),
    further("StableDiffusionXLControlNetImg2ImgPipeline", lambda: controlled(components()), with_control(img2img)),
    further("StableDiffusionXLControlNetInpaintPipeline", lambda: controlled(components()), with_control(inpaint)),
    further("StableDiffusionInstructPix2PixPipeline", lambda: sd(in_channels=8), edit),
    further("StableDiffusionXLInstructPix2PixPipeline", lambda: components(in_channels=8), edit),
    further("StableDiffusionPAGPipeline", lambda: perturbed(sd()), with_pag(text_to_image)),
    further("StableDiffusionPAGImg2ImgPipeline", lambda: perturbed(sd()), with_pag(img2img)),
    further("StableDiffusionPAGInpaintPipeline", lambda: perturbed(sd()), with_pag(inpaint)),
    further("StableDiffusionXLPAGPipeline", lambda: perturbed(components()), with_pag(text_to_image)),
    further("StableDiffusionXLPAGImg2ImgPipeline", lambda: perturbed(components()), with_pag(img2img)),
    further("StableDiffusionXLPAGInpaintPipeline", lambda: perturbed(components()), with_pag(inpaint)),
    further(
        "StableDiffusionControlNetPAGPipeline",
        lambda: perturbed(controlled(sd())),
        with_pag(with_control(text_to_image, "image")),
    ),
    further(
        "StableDiffusionXLControlNetPAGPipeline",
        lambda: perturbed(controlled(components())),
        with_pag(with_control(text_to_image, "image")),
    ),
    further("StableDiffusionDiffEditPipeline", inverting, diffedit),
    further("StableDiffusionGLIGENPipeline", lambda: grounded("gated"), boxed),
    further("StableDiffusionGLIGENTextImagePipeline", lambda: grounded("gated-text-image"), boxed),
    further("AnimateDiffSDXLPipeline", lambda: moved(components()), video),
    further(
        "AnimateDiffControlNetPipeline",
        lambda: moved(controlled(sd())),
        lambda n: {**video(n), "conditioning_frames": frames()},
        **ONE,
    ),
    further(
        "AnimateDiffSparseControlNetPipeline",
        sparsely_controlled,
        lambda n: {**video(n), "conditioning_frames": frames(1), "controlnet_frame_indices": [0]},
        **ONE,
    ),
    further(
        "AnimateDiffVideoToVideoPipeline",
        lambda: moved(sd()),
        lambda n: {"prompt": words(n), "video": [frames()] * n, "height": 16, "width": 16, "strength": 0.8, **LATENT},
        steps=8,
        **ONE,
    ),
    further("AnimateDiffPAGPipeline", lambda: perturbed(moved(sd())), with_pag(video)),
    further(
        "PIAPipeline",
        lambda: moved(sd(), conv_in_channels=9),
        lambda n: {**video(n), "image": frames(1)[0]},
        **ONE,
    ),
    further("KandinskyV22Img2ImgPipeline", lambda: of("kandinsky22"), lambda n: kandinsky(n, strength=0.8), steps=8),
    further("FluxInpaintPipeline", lambda: of("flux-img2img"), lambda n: {**flux(n), "mask_image": mask(n)}),
    further("TextToVideoZeroSDXLPipeline", components, zero, parallel=False, **ONE),
)
