"""Denoisers on the meta device, from a public configuration: no weights are read, and none are allocated."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fdplug.complexity.public_configs import inside, public_configs
from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line, shown
from fdplug.files.json_text import read_json
from fdplug.files.schema import OBJECT, check
from fdplug.files.source import Source, is_folder
from fdplug.shapes import MODELS, pipeline_folder

LARGEST, MOST_LAYERS = 1_000_000, 1_000
LAYERS = ("layers_per_block", "transformer_layers_per_block", "num_layers", "num_single_layers")
FOLDERS = ("unet", "transformer", "prior")


@dataclass(frozen=True)
class Found:
    """A denoiser that was built from its configuration.

    Attributes:
        network: the denoiser, on the meta device.
        component: the pipeline's attribute that holds it; empty where only a denoiser was found.
        pipeline: the pipeline's class; empty as well.
    """

    network: Any
    component: str = ""
    pipeline: str = ""


@dataclass(frozen=True)
class _Source:
    config: dict[str, Any]
    component: str = ""
    pipeline: str = ""


def load_denoiser(model: str) -> Any:
    """Return a denoiser on the meta device; see `find_model`."""
    return find_model(model).network


def find_model(model: str) -> Found:
    """Build a denoiser on the meta device.

    Args:
        model: the name of a configuration inside the package, an embedded model, a `config.json`, the
            folder of a pipeline, a hub id, or a class of diffusers with its own defaults; only configurations are read.

    Raises:
        PipelineError: there is no such configuration, or it is none of a diffusers model.
    """
    source = _source(model)
    cls = _model_class(source.config.get("_class_name"))
    if cls is None:
        name = shown(source.config.get("_class_name"))
        raise PipelineError(f"{shown(model)}: {name} is no model of diffusers; {_allowed()}")
    _limit_sizes(model, source.config)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # diffusers tells itself what it is going to rename
            network = cls.from_config(source.config)
    except Exception as error:  # what a constructor raises on wrong values is anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise PipelineError(f"{shown(model)} cannot be built ({reason}); correct its configuration") from error
    # tables made by numpy are on the CPU still
    return Found(network.to("meta").eval(), source.component, source.pipeline)


def _model_class(name: Any) -> Any:
    """Return the model class of diffusers that has this name, or None."""
    import diffusers

    cls = getattr(diffusers, name, None) if isinstance(name, str) else None
    return cls if isinstance(cls, type) and issubclass(cls, diffusers.ModelMixin) else None


def _limit_sizes(model: str, config: dict[str, Any]) -> None:
    """Refuse numbers that no model has: layers are built one by one, and a million of them would take for ever."""
    for key, value in config.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int | float) and not -LARGEST <= one <= LARGEST:
                raise PipelineError(f"{shown(model)}: {key} is {shown(one)}; at most {LARGEST:,} can be built")
            if key in LAYERS and isinstance(one, int) and one > MOST_LAYERS:
                raise PipelineError(f"{shown(model)}: {key} is {one}; at most {MOST_LAYERS:,} layers can be built")


def _source(model: str) -> _Source:
    if model in public_configs():
        return _Source(json.loads((inside() / f"{model}.json").read_text(encoding="utf-8")))
    path = pipeline_folder(model) if model in MODELS else Path(os.path.expanduser(model))
    if is_folder(path):
        return _from_folder(path)
    if path.suffix == ".json":
        return _Source(_read(path))
    return _Source({"_class_name": model}) if _model_class(model) else _from_hub(model)


def _from_folder(folder: Path) -> _Source:
    index = folder / "model_index.json"
    pipeline = _read(index).get("_class_name") if index.is_file() else ""
    for name in FOLDERS:
        if (folder / name / "config.json").is_file():
            return _Source(_read(folder / name / "config.json"), name, str(pipeline))
    if (folder / "config.json").is_file():
        return _Source(_read(folder / "config.json"))
    raise PipelineError(f"{folder} has no {', '.join(FOLDERS)} folder with a config.json; {_allowed()}")


def _read(path: Path) -> dict[str, Any]:
    source = Source(path, "configuration", _allowed(), PipelineError)
    return check(source, OBJECT, read_json(source))


def _from_hub(model: str) -> _Source:
    from diffusers import ConfigMixin

    reasons = []
    for folder in FOLDERS:
        try:
            return _Source(dict(ConfigMixin.load_config(model, subfolder=folder)), folder, _hub_pipeline(model))
        except Exception as error:  # the hub's client has a dozen kinds
            reasons.append(one_line(error, 160))
    raise PipelineError(f"no configuration {shown(model)}: {reasons[0]}; {_allowed()}")


def _hub_pipeline(model: str) -> str:
    from diffusers import DiffusionPipeline

    return str(DiffusionPipeline.load_config(model).get("_class_name", ""))


def _allowed() -> str:
    return (
        f"a model is one of {', '.join((*public_configs(), *MODELS))}, a config.json, a pipeline's folder, a hub id or "
        "a class of diffusers"
    )
