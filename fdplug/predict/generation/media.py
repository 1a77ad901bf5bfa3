"""What a pipeline makes, by its class alone: images, videos or sounds; and how its output becomes a tensor."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from fdplug.errors import PipelineError
from fdplug.predict.storage.coding import FRAMES_PER_SECOND
from fdplug.predict.storage.names import IMAGE, SOUND, VIDEO

_OF_VIDEOS = ("num_frames", "video_length")
_OF_SOUNDS = ("audio_length_in_s", "audio_end_in_s", "audio_duration")
_OUTPUTS = {IMAGE: "images", VIDEO: "frames", SOUND: "audios"}
_FRAME_RATES = {
    "Wan": 16.0,
    "LTX": 24.0,
    "Hunyuan": 15.0,
    "Mochi": 30.0,
    "Allegro": 15.0,
    "Kandinsky5": 24.0,
    "StableVideoDiffusion": 7.0,
}
"""Frames per second that models were trained on, by how their pipelines begin; others play with eight."""
_SIGNED = "diffusers.pipelines.deepfloyd_if"
"""Pipelines whose tensors are the last sample itself, between -1 and 1; asked for numpy arrays, they give pixels."""


def kind_of(pipe: Any) -> str:
    """Return what a pipeline, or a class of pipelines, makes: `image`, `video` or `sound`."""
    accepted = parameters(pipe)
    if any(name in accepted for name in _OF_VIDEOS):
        return VIDEO
    return SOUND if any(name in accepted for name in _OF_SOUNDS) else IMAGE


def parameters(pipe: Any) -> dict[str, inspect.Parameter]:
    """Return what the call of a pipeline, or of a class of pipelines, takes."""
    found = dict(inspect.signature(class_of(pipe).__call__).parameters)
    found.pop("self", None)
    return found


def form_of(pipe: Any) -> str:
    """Return the `output_type` by which a pipeline gives pixels between 0 and 1."""
    return "np" if class_of(pipe).__module__.startswith(_SIGNED) else "pt"


def class_of(pipe: Any) -> type[Any]:
    """Return the class of a pipeline; a class is its own."""
    return pipe if isinstance(pipe, type) else type(pipe)


def output_of(made: Any, kind: str) -> Tensor:
    """Return what a pipeline made, one for each caption.

    Args:
        made: what its call returned.
        kind: what it makes.

    Returns:
        floats: images (N, 3, H, W) and videos (N, F, 3, H, W) in [0, 1], sounds (N, channels, samples) in [-1, 1].

    Raises:
        PipelineError: there is no such output.
    """
    name = _OUTPUTS[kind] if hasattr(made, _OUTPUTS[kind]) else next(iter(made), "")
    found = getattr(made, name, None)
    if found is None:
        raise PipelineError(f"{type(made).__name__} holds no {_OUTPUTS[kind]}: this pipeline cannot be used here")
    if isinstance(found, list):
        found = torch.stack([torch.as_tensor(one) for one in found])
    tensor = torch.as_tensor(found)
    if kind == SOUND:
        return tensor[:, None] if tensor.dim() == 2 else tensor
    return tensor if isinstance(getattr(made, name), Tensor) else tensor.movedim(-1, -3)


def rate_of(pipe: Any, kind: str, arguments: dict[str, Any]) -> float | None:
    """Return how many frames or samples a second have.

    Args:
        pipe: the pipeline.
        kind: what it makes.
        arguments: what its call is given; `fps` and `frame_rate` say it themselves.
    """
    if kind == IMAGE:
        return None
    if kind == VIDEO:
        given = arguments.get("fps", arguments.get("frame_rate"))
        name = type(pipe).__name__
        known = (rate for start, rate in _FRAME_RATES.items() if name.startswith(start))
        return float(given) if given else next(known, FRAMES_PER_SECOND)
    for part in ("vae", "vocoder", "unet"):
        config = getattr(getattr(pipe, part, None), "config", None)
        rate = getattr(config, "sampling_rate", None) or getattr(config, "sample_rate", None)
        if rate:
            return float(rate)
    raise PipelineError(f"{type(pipe).__name__} does not say how many samples a second of its sound has")


def to_samples(sounds: Tensor) -> tuple[Tensor, Tensor]:
    """Return sounds as 16 bits, and which of them hold numbers only; the others are silent."""
    sounds = sounds.detach().float().cpu()
    finite = torch.isfinite(sounds).flatten(1).all(1)
    return (sounds.nan_to_num(0.0, 1.0, -1.0).clamp(-1, 1) * 32767).round().to(torch.int16), finite
