"""Stage `export` of `shapes-controlnet`: the ControlNet and the judge of its obedience, in two bytes a weight."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from fdplug.shapes.control.networks import ObjectFinder
from fdplug.shapes.training.checkpoints import load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.control.controlnet import trained_controlnet
from fdplug.shapes.training.curves import draw_curves
from fdplug.shapes.training.log import LOG_NAME


def export_controlnet(config: TrainConfig) -> Path:
    """Write ``controlnet/``, ``finder.safetensors``, log and loss curves into ``config.out / "export"``."""
    folder = config.out / "export"
    shutil.rmtree(folder, ignore_errors=True)
    trained_controlnet(config).to(torch.bfloat16).save_pretrained(folder / "controlnet", safe_serialization=True)
    finder = ObjectFinder()
    load_result(config.out / "finder.pt", finder)
    save_file({name: one.half() for name, one in finder.state_dict().items()}, folder / "finder.safetensors")
    draw_curves(config.out / LOG_NAME, folder / "curves.png")
    shutil.copy(config.out / LOG_NAME, folder / LOG_NAME)
    return folder
