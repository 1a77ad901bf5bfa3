"""What a pipeline draws while it is watched: captions, classes, or nothing in particular."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from fdplug.predict.captions import Caption, read_captions
from fdplug.predict.generation import Look
from fdplug.predict.seeds import generators


def kind(pipe: Any) -> str:
    """Return the argument that says what to draw: `prompt`, `class_labels` (DiT), or `batch_size` (unconditional)."""
    parameters = inspect.signature(pipe.__call__).parameters
    return next((name for name in ("prompt", "class_labels") if name in parameters), "batch_size")


def subjects(pipe: Any, annotations: str, count: int) -> list[Caption]:
    """Return what to draw, `count` of it: captions of a file, or numbers that stand for classes."""
    if kind(pipe) == "prompt":
        return read_captions(annotations, count)
    return [Caption(index, "") for index in range(count)]


def draw(pipe: Any, batch: Sequence[Caption], look: Look) -> None:
    """Call the pipeline on a batch; nothing is decoded where it can be helped."""
    ids = [one.image_id for one in batch]
    given: dict[str, Any]
    match kind(pipe):
        case "prompt":
            given = {"prompt": [one.text for one in batch], "output_type": "latent"}
        case "class_labels":
            given = {"class_labels": _spread(pipe, ids), "output_type": "np"}
        case _:
            given = {"batch_size": len(batch), "output_type": "np"}
    accepted = inspect.signature(pipe.__call__).parameters
    options = {name: value for name, value in look.call_options().items() if name in accepted}
    with torch.no_grad():
        pipe(generator=generators(look.seed, ids), **given, **options)


def _spread(pipe: Any, ids: Sequence[int]) -> list[int]:
    """Return class numbers far apart: a multiplication without common divisors visits all classes."""
    classes = pipe.transformer.config.num_embeds_ada_norm
    return [index * 387 % classes for index in ids]
