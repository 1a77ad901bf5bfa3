"""Denoisers on the meta device, from a public configuration: no weights are read, and none are allocated."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from fdplug.errors import PipelineError, one_line

FOLDERS = ("unet", "transformer", "prior")


def public_configs() -> list[str]:
    """Names of the configurations inside the package."""
    return sorted(path.name.removesuffix(".json") for path in _inside().iterdir() if path.name.endswith(".json"))


def _inside() -> Any:
    return resources.files("fdplug.complexity") / "configs"


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

    cls = getattr(diffusers, str(config.get("_class_name")), None)
    if cls is None or not hasattr(cls, "from_config"):
        raise PipelineError(f"'{model}': {config.get('_class_name')!r} is no model of diffusers; {_allowed()}")
    try:
        with torch.device("meta"):
            network = cls.from_config(config)
    except (TypeError, ValueError) as error:
        raise PipelineError(f"'{model}' cannot be built: {one_line(error, 300)}") from error
    return network.to("meta").eval()  # tables made by numpy are on the CPU still


def _config(model: str) -> dict[str, Any]:
    if model in public_configs():
        return json.loads((_inside() / f"{model}.json").read_text(encoding="utf-8"))
    path = _shapes() if model == "shapes" else Path(model).expanduser()
    if path.is_dir():
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
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}; {_allowed()}") from error
    except ValueError as error:
        raise PipelineError(f"{path} is not valid json: {error}; {_allowed()}") from error
    if not isinstance(held, dict):
        raise PipelineError(f"{path} holds a {type(held).__name__}, not an object; {_allowed()}")
    return held


def _from_hub(model: str) -> dict[str, Any]:
    from diffusers import ConfigMixin

    reasons = []
    for folder in FOLDERS:
        try:
            return dict(ConfigMixin.load_config(model, subfolder=folder))
        except (OSError, ValueError) as error:
            reasons.append(one_line(error, 160))
    raise PipelineError(f"no configuration '{model}': {reasons[0]}; {_allowed()}")


def _allowed() -> str:
    return f"a model is one of {', '.join(public_configs())}, shapes, a config.json, a pipeline's folder or a hub id"
