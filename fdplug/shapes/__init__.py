"""The embedded models: a small Stable Diffusion, the same with a ControlNet, and a small Stable Diffusion 3.

`shapes` is the first, `shapes-controlnet` adds a ControlNet for outlines to it, `shapes-flow` is the third. They come
with their pictures, captions and evaluators. Importing this package imports no torch. Scores on these models are their
own, never the FID or CLIP score of real models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "CAPTIONS",
    "CLASSES",
    "CONTROLNET",
    "FLOW",
    "GUIDANCE",
    "MODELS",
    "annotations_file",
    "call_options",
    "controlnet_folder",
    "evaluators_folder",
    "inputs",
    "loading",
    "pipeline_folder",
]

FLOW, CLASSES, CONTROLNET = "shapes-flow", "shapes-flow-classes", "shapes-controlnet"
MODELS: tuple[str, ...] = ("shapes", FLOW, CONTROLNET)
"""Names of the embedded models; each also names its held-out captions."""
CAPTIONS: tuple[str, ...] = (*MODELS, CLASSES)
"""Names of captions: those of the models, and classes of one object, written out, for `shapes-flow`."""
GUIDANCE: float = 4.0
"""The recommended guidance scale of every model, at which their cards were measured."""

_DATA = Path(__file__).parent / "data"
_PIPELINES = {"shapes": "pipeline", FLOW: "flow", CONTROLNET: "pipeline"}
_CAPTIONS = {
    "shapes": "captions_val_shapes.json",
    FLOW: "captions_val_shapes_flow.json",
    CLASSES: "captions_classes_shapes_flow.json",
    CONTROLNET: "captions_val_shapes.json",
}


def pipeline_folder(model: str = "shapes") -> Path:
    """The folder of a model, which a stock pipeline loads.

    ``StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)`` loads that of `shapes`, and
    ``StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)`` that of `shapes-flow`.
    That of `shapes-controlnet` is that of `shapes`, for
    ``StableDiffusionControlNetPipeline.from_pretrained(folder, controlnet=..., safety_checker=None)``.
    """
    return _DATA / _PIPELINES[_known(model)]


def controlnet_folder() -> Path:
    """The folder of the ControlNet of `shapes-controlnet`, which ``ControlNetModel.from_pretrained`` loads."""
    return _DATA / "controlnet"


def loading(model: str = "shapes") -> dict[str, Any]:
    """What a model is loaded with besides its folder, as ``--loading`` takes it."""
    if _known(model) != CONTROLNET:
        return {}
    return {"pipeline": "StableDiffusionControlNetPipeline", "components": {"controlnet": str(controlnet_folder())}}


def evaluators_folder() -> Path:
    """The folder of the evaluators' weights, for `fdplug.shapes.evaluators.load`; they judge all models."""
    return _DATA / "evaluators"


def annotations_file(name: str = "shapes") -> Path:
    """Captions in the form of COCO's ``captions_val2017.json``: the held-out ones of a model, or ``CLASSES``."""
    return _DATA / _CAPTIONS[_known(name, CAPTIONS)]


def inputs(model: str = "shapes") -> tuple[tuple[str, str], ...]:
    """What each caption of a model begins from besides its text, by the argument of the pipeline's call.

    Those of `shapes-controlnet` begin from the outlines of their scenes, which go by the name of the model and are
    drawn when they are needed.
    """
    return (("image", CONTROLNET),) if _known(model) == CONTROLNET else ()


def call_options(model: str = "shapes") -> dict[str, Any]:
    """What a pipeline call is given besides caption, steps and guidance, for speed.

    `shapes-flow` has no T5, in whose place Stable Diffusion 3 appends 256 zeros to the prompt; none do as well, at a
    third of the cost.
    """
    return {"max_sequence_length": 0} if _known(model) == FLOW else {}


def _known(name: str, names: tuple[str, ...] = MODELS) -> str:
    if name not in names:
        what = "model" if names is MODELS else "captions"
        raise ValueError(f"no embedded {what} {name!r}; choose from {', '.join(names)}")
    return name
