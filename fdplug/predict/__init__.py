"""Draw captions, score the images, and compare variants: on Lightning, and on stock diffusers pipelines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdplug.predict.captions import Caption, read_captions
    from fdplug.predict.costs import LogCosts
    from fdplug.predict.data import ClassLabels, CocoCaptions, PartiPrompts, PromptFile
    from fdplug.predict.module import TextToImage
    from fdplug.predict.prediction import Prediction
    from fdplug.predict.score_callbacks import (
        LogClipScore,
        LogFid,
        LogFidelity,
        LogFtc,
        LogInceptionScore,
        LogLpips,
        LogPrecisionRecall,
        LogShapesScores,
    )
    from fdplug.predict.variant import Variant
    from fdplug.predict.writer import ImageWriter

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
    "LogShapesScores",
    "PartiPrompts",
    "Prediction",
    "PromptFile",
    "TextToImage",
    "Variant",
    "read_captions",
]

_HOMES = {
    "captions": ("Caption", "read_captions"),
    "data": ("ClassLabels", "CocoCaptions", "PartiPrompts", "PromptFile"),
    "writer": ("ImageWriter",),
    "score_callbacks": (
        "LogClipScore",
        "LogFid",
        "LogFidelity",
        "LogFtc",
        "LogInceptionScore",
        "LogLpips",
        "LogPrecisionRecall",
        "LogShapesScores",
    ),
    "costs": ("LogCosts",),
    "module": ("TextToImage",),
    "prediction": ("Prediction",),
    "variant": ("Variant",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
