"""Extractors by name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fdplug.scores.features import INCEPTION, SHAPES

if TYPE_CHECKING:
    import torch

    from fdplug.scores.features.extractor import Extractor


@lru_cache(maxsize=4)
def load_extractor(name: str = INCEPTION, device: torch.device | str = "cpu", allow_pickle: bool = False) -> Extractor:
    """An extractor by name; asked again, it gives the same one.

    Args:
        name: `inception` (FID's own, downloaded by torch-fidelity), `inception:PATH` (its weights in a file or folder),
            `shapes` (the embedded model's), or the hub id or folder of a transformers vision model.
        device: where it runs.
        allow_pickle: also read weights that are no safetensors.

    Raises:
        ConfigError: an extra package is missing.
        PipelineError: the weights cannot be loaded.
    """
    kind, _, path = name.partition(":")
    if kind == INCEPTION:
        from fdplug.scores.features.inception import load_inception

        return load_inception(path or None, allow_pickle).to(device)
    if name == SHAPES:
        from fdplug.scores.features.shapes_model import ShapesExtractor
        from fdplug.shapes import evaluators

        return ShapesExtractor(evaluators.load(device))
    from fdplug.scores.features.transformers_model import load_vision_model

    return load_vision_model(name, allow_pickle).to(device)
