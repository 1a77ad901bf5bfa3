"""What a pipeline generates from: prompts, class labels, pictures, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from fdplug.errors import ConfigError, PipelineError, suggestion
from fdplug.lookup import find_denoiser
from fdplug.predict.data.inputs import picture_of
from fdplug.predict.generation.media import class_of, parameters

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fdplug.predict.data.captions import Caption

# Pipelines that take a picture and cannot do without, by a part of their names.
_FROM_PICTURES = (
    *("Img2Img", "Inpaint", "ControlNet", "Adapter", "ImageToVideo", "ImageVariation", "Upscale", "InstructPix2Pix"),
    *("Depth2Img", "StableVideoDiffusion", "EditPlus", "QwenImageEdit", "I2VGen", "SuperResolution"),
)
# Pipelines of diffusers whose output is another, by a part of their names.
_NO_PICTURES = {
    "Marigold": "maps of depth, normals or materials",
    "Prior": "embeddings for another pipeline",
    "ShapE": "shapes in space",
}
_PICTURES = ("image", "control_image", "mask_image", "ip_adapter_image", "images")
_NOT_GIVEN = (
    *("prompt", "class_labels", "batch_size", "generator", "output_type", "return_dict", "num_inference_steps"),
    *("guidance_scale", "timesteps", "sigmas", "latents", "num_images_per_prompt", "num_videos_per_prompt"),
)
"""What no one may set for a pipeline's call: it is made of captions, settings of their own names, and seeds."""


def check_conditioning(
    pipe: Any, captions: Sequence[Caption], size: int | None = None, arguments: Mapping[str, Any] | None = None
) -> None:
    """Refuse a pipeline that cannot take these captions, or not at this size; its class is enough, without weights.

    Args:
        pipe: a pipeline, or a class of pipelines.
        captions: what is to be generated.
        size: in pixels, where it was asked for.
        arguments: further arguments of its call.

    Raises:
        PipelineError: it takes no prompt, or needs a class label or a picture that the captions lack.
        ConfigError: a size is asked of a pipeline that has only one, or its call has no such argument.
    """
    kind, accepted = class_of(pipe), parameters(pipe)
    name, is_stock = kind.__name__, kind.__module__.startswith("diffusers.")
    other = next((what for word, what in _NO_PICTURES.items() if is_stock and word in name), None)
    if other is not None:
        raise PipelineError(f"{name} makes {other}, no pictures: call it yourself, accelerated by fdplug.propagate")
    given = _sources(pipe, captions[:1])
    _check_pictures(name, accepted, captions)
    _check_needed(name, accepted, {*given, *_PICTURES, *(arguments or {})})
    if size is not None and "height" not in accepted:
        raise ConfigError(f"{name} generates images of one size only; leave out size, got {size}")
    for one in arguments or {}:
        if one in _NOT_GIVEN or one.startswith("callback"):
            raise ConfigError(f"arguments: '{one}' is made of captions, seeds and settings; leave it out")
        if one not in accepted:
            raise ConfigError(f"arguments: {name} takes no '{one}'{suggestion(one, accepted, ';')} leave it out")


def _check_needed(name: str, accepted: Mapping[str, Any], given: Collection[str]) -> None:
    """Refuse a pipeline whose call cannot do without what captions, pictures and settings do not hold."""
    for one, parameter in accepted.items():
        if (
            parameter.default is parameter.empty
            and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            and one not in given
        ):
            raise PipelineError(
                f"{name} needs {one}, which captions do not hold: give it in arguments if it is a number or a text; "
                "else call the pipeline yourself, accelerated by fdplug.propagate"
            )


def _check_pictures(name: str, accepted: Mapping[str, Any], captions: Sequence[Caption]) -> None:
    given = {one for caption in captions for one, _ in caption.inputs}
    unknown = sorted(given - set(accepted))
    if unknown:
        known = ", ".join(one for one in accepted if one in _PICTURES) or "none"
        raise PipelineError(f"{name} takes no {unknown[0]} to begin from; pictures that it takes: {known}")
    nothing_else = not any(one in accepted for one in ("prompt", "class_labels", "batch_size"))
    needed = nothing_else or any(part in name for part in _FROM_PICTURES)
    if captions and not given and needed and "image" in accepted:
        raise PipelineError(
            f"{name} needs a picture for every caption: give --data.inputs, a folder with one for each (compare: "
            "--inputs, generate: --input), or as in {image: FOLDER}"
        )


def conditioning(pipe: Any, captions: Sequence[Caption], size: int | None = None) -> dict[str, Any]:
    """Return the arguments of a pipeline call that say what to generate from.

    Args:
        pipe: a pipeline.
        captions: one for each image.
        size: in pixels, to which pictures to begin from are resized; None leaves them as they are.
    """
    names = [one for one, _ in captions[0].inputs] if captions else []
    pictures = {name: [_picture(caption, name, size) for caption in captions] for name in names}
    for name, made in pictures.items():
        if len({one.size for one in made}) > 1:
            raise ConfigError(f"the pictures for {name} differ in size; give a size, or batch_size 1")
    # many pipelines take a single picture where they take no list
    return {**_sources(pipe, captions), **{name: one[0] if len(one) == 1 else one for name, one in pictures.items()}}


def check_going_on(pipe: Any, captions: Sequence[Caption], arguments: Mapping[str, Any] | None = None) -> None:
    """Refuse a pipeline that cannot go on with an image and these captions; its class is enough.

    Args:
        pipe: a pipeline, or a class of pipelines.
        captions: what is to be generated.
        arguments: further arguments of its call.

    Raises:
        PipelineError: it takes no image.
        ConfigError: its call has no such argument.
    """
    check_conditioning(pipe, _going_on(captions), None, arguments)


def going_on(pipe: Any, captions: Sequence[Caption], made: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments of the call of a pipeline that goes on with what another made.

    Args:
        pipe: a pipeline.
        captions: one for each image.
        made: pictures, or latents.
    """
    # many pipelines take a single picture where they take no list
    return {**_sources(pipe, _going_on(captions)), "image": made[0] if len(made) == 1 else made}


def _going_on(captions: Sequence[Caption]) -> list[Caption]:
    """Return captions that begin from the image before."""
    return [caption._replace(inputs=(("image", "the image before"),)) for caption in captions]


def _picture(caption: Caption, argument: str, size: int | None) -> Image.Image:
    picture = picture_of(caption, argument)
    return picture if size is None else picture.resize((size, size), Image.Resampling.LANCZOS)


def _sources(pipe: Any, captions: Sequence[Caption]) -> dict[str, Any]:
    """Return prompts, class labels, or the number of images."""
    name, accepted = class_of(pipe).__name__, parameters(pipe)
    labelled = any(caption.label is not None for caption in captions)
    if "prompt" in accepted:
        if labelled:
            raise PipelineError(
                f"{name} generates from prompts, not class labels; give --data CocoCaptions or PromptFile"
            )
        return {"prompt": [caption.text for caption in captions]}
    if "class_labels" in accepted:
        if any(caption.label is None for caption in captions):
            raise PipelineError(f"{name} takes no prompt but class labels; give --data ClassLabels (compare: classes)")
        return {"class_labels": [caption.label for caption in captions]}
    if captions and captions[0].inputs:
        return {}
    if "image" in accepted and "batch_size" not in accepted:
        return {}  # of which it is said that they are missing
    if "batch_size" not in accepted:
        raise PipelineError(f"{name} takes no prompt, no class label, no picture and no number of images")
    if labelled or any(caption.text for caption in captions):
        raise PipelineError(
            f"{name} takes no prompt: it generates from nothing; give --data Samples (compare: samples)"
        )
    return {"batch_size": len(captions)}


def image_size(pipe: Any, size: int | None = None) -> tuple[int, int]:
    """Height and width in pixels of the images of a pipeline.

    Args:
        pipe: a pipeline.
        size: what was asked for; None is the pipeline's own.

    Raises:
        ConfigError: the pipeline does not say.
    """
    if size is not None:
        return size, size
    config = getattr(find_denoiser(pipe), "config", None)
    sample = getattr(pipe, "default_sample_size", None) or getattr(config, "sample_size", None)
    if sample is None:
        raise ConfigError(f"{type(pipe).__name__} does not say how large its images are; give a size")
    height, width = (sample, sample) if isinstance(sample, int) else sample
    factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1) if getattr(pipe, "vae", None) else 1
    factor = getattr(pipe, "vae_scale_factor", factor)
    return height * factor, width * factor
