"""The embedded model `shapes`: a small trained Stable Diffusion, its pictures, captions and evaluators.

Importing this package imports no torch. Scores on `shapes` are its own, never the FID or CLIP score of real models.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["GUIDANCE", "annotations_file", "evaluators_folder", "pipeline_folder"]

GUIDANCE: float = 4.0
"""The recommended guidance scale, at which the model card was measured."""

_DATA = Path(__file__).parent / "data"


def pipeline_folder() -> Path:
    """The folder that ``StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)`` loads."""
    return _DATA / "pipeline"


def evaluators_folder() -> Path:
    """The folder of the evaluators' weights, for `fdplug.shapes.evaluators.load`."""
    return _DATA / "evaluators"


def annotations_file() -> Path:
    """The held-out captions in the form of COCO's ``captions_val2017.json``."""
    return _DATA / "captions_val_shapes.json"
