"""The embedded models: `shapes`, a small trained Stable Diffusion, and `shapes-flow`, a small Stable Diffusion 3.

They come with their pictures, captions and evaluators. Importing this package imports no torch. Scores on these models
are their own, never the FID or CLIP score of real models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "CAPTIONS",
    "CLASSES",
    "FLOW",
    "GUIDANCE",
    "MODELS",
    "annotations_file",
    "call_options",
    "evaluators_folder",
    "pipeline_folder",
]

FLOW, CLASSES = "shapes-flow", "shapes-flow-classes"
MODELS: tuple[str, ...] = ("shapes", FLOW)
"""Names of the embedded models; each also names its held-out captions."""
CAPTIONS: tuple[str, ...] = (*MODELS, CLASSES)
"""Names of captions: those of the models, and classes of one object, written out, for `shapes-flow`."""
GUIDANCE: float = 4.0
"""The recommended guidance scale of both models, at which their cards were measured."""

_DATA = Path(__file__).parent / "data"
_PIPELINES = {"shapes": "pipeline", FLOW: "flow"}
_CAPTIONS = {
    "shapes": "captions_val_shapes.json",
    FLOW: "captions_val_shapes_flow.json",
    CLASSES: "captions_classes_shapes_flow.json",
}


def pipeline_folder(model: str = "shapes") -> Path:
    """The folder of a model, which a stock pipeline loads.

    ``StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)`` loads that of `shapes`, and
    ``StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)`` that of `shapes-flow`.
    """
    return _DATA / _PIPELINES[_known(model)]


def evaluators_folder() -> Path:
    """The folder of the evaluators' weights, for `fdplug.shapes.evaluators.load`; they judge both models."""
    return _DATA / "evaluators"


def annotations_file(name: str = "shapes") -> Path:
    """Captions in the form of COCO's ``captions_val2017.json``: the held-out ones of a model, or ``CLASSES``."""
    return _DATA / _CAPTIONS[_known(name, CAPTIONS)]


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
