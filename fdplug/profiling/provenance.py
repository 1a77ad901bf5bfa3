"""Where numbers come from: machine, versions, time."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from fdplug.files.source import MEGABYTE, Source
from fdplug.profiling.fingerprint import fingerprint

MOST = 2_000 * MEGABYTE

PACKAGES = ("fdplug", "torch", "diffusers", "transformers", "lightning", "torchmetrics", "fvcore", "numpy")


def provenance(device: torch.device | str) -> dict[str, Any]:
    """Time, hardware and versions, ready for json."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(device),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def hardware(device: torch.device | str) -> dict[str, Any]:
    """The processor, and the GPU if the run used one."""
    found: dict[str, Any] = {
        "device": str(device),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.platform(),
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def networks(pipe: Any) -> dict[str, str]:
    """A short hash of every network of the pipeline."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {name: fingerprint(part) for name, part in parts.items()}


def hashes(pipe: Any, annotations: Path | None) -> dict[str, str]:
    """Short hashes of every network of the pipeline and of the annotation file, if there is one."""
    return {**networks(pipe), **({} if annotations is None else {"annotations": content_hash(annotations)})}


def content_hash(path: Path) -> str:
    """A short hash of what a file holds."""
    return hashlib.sha256(Source(path, "file", "name another", limit=MOST).read()).hexdigest()[:16]


def summary(hardware: dict[str, Any]) -> str:
    """The hardware in a few words."""
    where = hardware.get("gpu") or hardware["cpu"]
    return f"{where}, {hardware['cores']} cores, {hardware['torch_threads']} torch threads, device {hardware['device']}"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
