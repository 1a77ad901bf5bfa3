"""Generate images, score them, and compare variants: on Lightning, and on stock diffusers pipelines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.data.captions import Caption, read_captions
    from fdplug.predict.data.datamodules import ClassLabels, CocoCaptions, PartiPrompts, PromptFile, Samples
    from fdplug.predict.lightning.callbacks.costs import LogCosts
    from fdplug.predict.lightning.callbacks.scores import LogScores
    from fdplug.predict.lightning.callbacks.single_scores import (
        LogClipScore,
        LogFid,
        LogFidelity,
        LogFtc,
        LogInceptionScore,
        LogLpips,
        LogPrecisionRecall,
        LogShapesScores,
    )
    from fdplug.predict.lightning.image_writer import ImageWriter
    from fdplug.predict.lightning.module import TextToImage
    from fdplug.predict.lightning.prediction import Prediction

__all__ = [
    "Caption",
    "ClassLabels",
    "CocoCaptions",
    "ImageWriter",
    "LogClipScore",
    "LogCosts",
    "LogFid",
    "LogFidelity",
    "LogFtc",
    "LogInceptionScore",
    "LogLpips",
    "LogPrecisionRecall",
    "LogScores",
    "LogShapesScores",
    "PartiPrompts",
    "Prediction",
    "PromptFile",
    "Samples",
    "TextToImage",
    "Variant",
    "read_captions",
]

_HOMES = {
    "data.captions": ("Caption", "read_captions"),
    "data.datamodules": ("ClassLabels", "CocoCaptions", "PartiPrompts", "PromptFile", "Samples"),
    "lightning.image_writer": ("ImageWriter",),
    "lightning.callbacks.scores": ("LogScores",),
    "lightning.callbacks.single_scores": (
        "LogClipScore",
        "LogFid",
        "LogFidelity",
        "LogFtc",
        "LogInceptionScore",
        "LogLpips",
        "LogPrecisionRecall",
        "LogShapesScores",
    ),
    "lightning.callbacks.costs": ("LogCosts",),
    "lightning.module": ("TextToImage",),
    "lightning.prediction": ("Prediction",),
    "comparison.variant": ("Variant",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
