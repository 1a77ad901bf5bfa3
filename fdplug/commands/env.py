"""`fdplug env`: versions, hardware and plugins, as a report of a problem needs them."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from typing import Any

from fdplug.commands.options.env import parser
from fdplug.commands.plugins import collect
from fdplug.registry import KINDS

PACKAGES = (
    "fdplug",
    "torch",
    "diffusers",
    "transformers",
    "lightning",
    "torchmetrics",
    "fvcore",
    "pluggy",
    "accelerate",
    "peft",
    "safetensors",
    "numpy",
)
VARIABLES = ("FDPLUG_BLOCK", "FDPLUG_PLUGINS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HUB_OFFLINE")


def main(argv: list[str]) -> int:
    """Run `fdplug env` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Print what this installation consists of."""
    found = environment()
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_markdown(found) if options.markdown else _lines(found)))
    return 0


def environment() -> dict[str, Any]:
    """Return versions, hardware, plugins that are not fdplug's own, and the environment variables that change a run."""
    listing = collect(list(KINDS))
    others = {f"{one['provider']} {one['version']}" for one in listing["plugins"] if one["provider"] != "fdplug"}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": _hardware(),
        "plugins": sorted(others),
        "left out": [f"{one['plugin']} of {one['provider']}: {one['reason']}" for one in listing["failures"]],
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _hardware() -> dict[str, Any]:
    import torch

    accelerators = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        accelerators.append("mps")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerators": accelerators,
        "cuda": torch.version.cuda,
    }


def _lines(found: dict[str, Any]) -> list[str]:
    flat = _flat(found)
    width = max(len(name) for name, _ in flat)
    return [f"{name.ljust(width)}  {value}" for name, value in flat]


def _markdown(found: dict[str, Any]) -> list[str]:
    return ["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in _flat(found))]


def _flat(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line per value, the names of groups left out: what is in them speaks for itself."""
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            rows += [(key, _text(one)) for key, one in value.items()]
        else:
            rows.append((name, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
