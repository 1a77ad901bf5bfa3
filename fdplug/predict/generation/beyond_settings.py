"""What decides an image beside the settings: the content of files, what plugins say of themselves, modes of torch.

All of it is kept in `run.json` with the settings, so that a run does not go on where any of it has changed. What is as
torch and Lightning have it by default is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fdplug import registry
from fdplug.errors.wording import shown
from fdplug.predict.generation.stage import StageConfig
from fdplug.profiling.provenance import content_hash

KINDS = ("policy", "cache", "injector", "part", "guidance")
MODES = {
    "deterministic_algorithms": (torch.are_deterministic_algorithms_enabled, False),
    "float32_matmul_precision": (torch.get_float32_matmul_precision, "highest"),
    "cudnn.deterministic": (lambda: torch.backends.cudnn.deterministic, False),
    "cudnn.benchmark": (lambda: torch.backends.cudnn.benchmark, False),
    "cudnn.allow_tf32": (lambda: torch.backends.cudnn.allow_tf32, True),
}


def beyond_settings(
    sampler: Any, propagation: Any, trainer: Any = None, stages: Sequence[StageConfig] = ()
) -> dict[str, Any]:
    """Return what decides the images of a run beside its settings, as json holds it.

    Args:
        sampler: the spec of the sampler.
        propagation: the settings of `fdplug.propagate`, None where there is no propagation.
        trainer: Lightning's trainer, where one runs the pipeline.
        stages: of a cascade, the settings of the pipelines behind the first.
    """
    specs = [("sampler", sampler), *_specs(propagation or {})]
    for stage in stages:
        specs += [("sampler", stage.sampler), *_specs(stage.propagation or {})]
    found = {
        "files": dict(_files(specs)),
        "fingerprints": dict(_fingerprints(specs)),
        "torch": {name: value() for name, (value, usual) in MODES.items() if value() != usual},
        "precision": None if trainer is None else _precision(trainer),
    }
    return {key: value for key, value in found.items() if value}


def _specs(settings: Any) -> Iterator[tuple[str, Any]]:
    propagation = settings if isinstance(settings, Mapping) else vars(settings)
    for kind in KINDS:
        if kind in propagation:
            yield kind, propagation[kind]
    for transform in propagation.get("transforms") or ():
        yield "transform", transform


def _files(specs: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield every file that an option of a plugin names, and a hash of its content."""
    for kind, spec in specs:
        if isinstance(spec, Mapping):
            for text in _texts(registry.parse(kind, spec)[1]):
                if _is_file(text):
                    yield text, content_hash(Path(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from (text for item in value.values() for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _fingerprints(specs: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what plugins with a method `fingerprint()` return: whatever else decides what they do."""
    for kind, spec in specs:
        name = getattr(spec, "name", None) or registry.parse(kind, spec)[0]
        if kind == "part" and name not in registry.entries("part"):
            continue  # a family's own part
        said = getattr(registry.build(kind, spec), "fingerprint", None)
        if callable(said):
            yield f"{kind} {name}", shown(said(), 200)


def _precision(trainer: Any) -> str | None:
    """Return the precision of a trainer, with the class of a plugin of others; None for plain float32."""
    plugin = getattr(trainer.strategy, "precision_plugin", None)
    own = type(plugin).__module__.startswith(("lightning.", "pytorch_lightning."))
    by = "" if own else f" ({type(plugin).__module__}.{type(plugin).__qualname__})"
    said = f"{trainer.precision}{by}"
    return None if said == "32-true" else said
