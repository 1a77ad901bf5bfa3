"""Denoisers on the meta device, from a public configuration: no weights are read, and none are allocated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from fdplug.complexity.public_configs import inside, public_configs
from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line, shown
from fdplug.files.json_text import read_json
from fdplug.files.schema import OBJECT, check
from fdplug.files.source import Source, is_folder

LARGEST, MOST_LAYERS = 1_000_000, 1_000
LAYERS = ("layers_per_block", "transformer_layers_per_block", "num_layers", "num_single_layers")
FOLDERS = ("unet", "transformer", "prior")


def load_denoiser(model: str) -> Any:
    """Build a denoiser on the meta device.

    Args:
        model: the name of a configuration inside the package, `shapes`, a `config.json`, a pipeline's folder, or a hub
            id; of these only the configuration is read.

    Raises:
        PipelineError: there is no such configuration, or it is none of a diffusers model.
    """
    config = _config(model)
    import diffusers

    name = config.get("_class_name")
    cls = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(cls, type) or not issubclass(cls, diffusers.ModelMixin):
        raise PipelineError(f"{shown(model)}: {shown(name)} is no model of diffusers; {_allowed()}")
    _limit_sizes(model, config)
    try:
        with torch.device("meta"):
            network = cls.from_config(config)
    except Exception as error:  # what a constructor raises on wrong values is anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise PipelineError(f"{shown(model)} cannot be built ({reason}); correct its configuration") from error
    return network.to("meta").eval()  # tables made by numpy are on the CPU still


def _limit_sizes(model: str, config: dict[str, Any]) -> None:
    """Refuse numbers that no model has: layers are built one by one, and a million of them would take for ever."""
    for key, value in config.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int | float) and not -LARGEST <= one <= LARGEST:
                raise PipelineError(f"{shown(model)}: {key} is {shown(one)}; at most {LARGEST:,} can be built")
            if key in LAYERS and isinstance(one, int) and one > MOST_LAYERS:
                raise PipelineError(f"{shown(model)}: {key} is {one}; at most {MOST_LAYERS:,} layers can be built")


def _config(model: str) -> dict[str, Any]:
    if model in public_configs():
        return json.loads((inside() / f"{model}.json").read_text(encoding="utf-8"))
    path = _shapes() if model == "shapes" else Path(os.path.expanduser(model))
    if is_folder(path):
        return _from_folder(path)
    if path.suffix == ".json":
        return _read(path)
    return _from_hub(model)


def _shapes() -> Path:
    from fdplug import shapes

    return Path(shapes.pipeline_folder())


def _from_folder(folder: Path) -> dict[str, Any]:
    for path in (*(folder / name / "config.json" for name in FOLDERS), folder / "config.json"):
        if path.is_file():
            return _read(path)
    raise PipelineError(f"{folder} has no {', '.join(FOLDERS)} folder with a config.json; {_allowed()}")


def _read(path: Path) -> dict[str, Any]:
    source = Source(path, "configuration", _allowed(), PipelineError)
    return check(source, OBJECT, read_json(source))


def _from_hub(model: str) -> dict[str, Any]:
    from diffusers import ConfigMixin

    reasons = []
    for folder in FOLDERS:
        try:
            return dict(ConfigMixin.load_config(model, subfolder=folder))
        except Exception as error:  # the hub's client has a dozen kinds
            reasons.append(one_line(error, 160))
    raise PipelineError(f"no configuration {shown(model)}: {reasons[0]}; {_allowed()}")


def _allowed() -> str:
    return f"a model is one of {', '.join(public_configs())}, shapes, a config.json, a pipeline's folder or a hub id"
