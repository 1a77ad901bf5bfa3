"""Stage `export`: the trained parts as a Stable Diffusion folder and the evaluators beside it, all fp16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from fdplug.shapes.networks import build_scheduler
from fdplug.shapes.tokenizer import load_tokenizer, write_tokenizer
from fdplug.shapes.towers import Classifier, Embedder
from fdplug.shapes.training.checkpoints import load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.curves import draw_curves
from fdplug.shapes.training.log import LOG_NAME
from fdplug.shapes.training.text import new_tokenizer, trained_text_encoder
from fdplug.shapes.training.unet import scaling_factor, trained_unet
from fdplug.shapes.training.vae import trained_vae


def export(config: TrainConfig) -> Path:
    """Write ``pipeline/``, ``evaluators/``, log and loss curves into ``config.out / "export"``; return that folder."""
    folder = config.out / "export"
    shutil.rmtree(folder, ignore_errors=True)
    _export_pipeline(config, folder / "pipeline")
    _export_evaluators(config, folder / "evaluators")
    draw_curves(config.out / LOG_NAME, folder / "curves.png")
    shutil.copy(config.out / LOG_NAME, folder / LOG_NAME)
    return folder


def _export_pipeline(config: TrainConfig, folder: Path) -> None:
    vae = trained_vae(config)
    vae.register_to_config(scaling_factor=scaling_factor(vae, config))
    write_tokenizer(config.out / "tokenizer")
    build: Any = StableDiffusionPipeline
    pipe = build(
        vae=vae,
        text_encoder=trained_text_encoder(config),
        tokenizer=load_tokenizer(config.out / "tokenizer"),
        unet=trained_unet(config),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(config.out / "tokenizer" / name, folder / "tokenizer" / name)
    tidy(folder / "text_encoder" / "config.json")


def tidy(path: Path) -> None:
    """Let the text tower load as fp32 unless asked otherwise, as the other parts do, and drop where it came from."""
    settings = {**json.loads(path.read_text()), "dtype": "float32"}
    settings.pop("_name_or_path", None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def _export_evaluators(config: TrainConfig, folder: Path) -> None:
    folder.mkdir(parents=True)
    parts: dict[str, nn.Module] = {"classifier": Classifier(), "embedding": Embedder(len(new_tokenizer()))}
    for name, module in parts.items():
        load_result(config.out / f"{name}.pt", module)
        halves = {
            key: value.half().contiguous() for key, value in module.state_dict().items() if value.is_floating_point()
        }
        save_file(halves, folder / f"{name}.safetensors")
