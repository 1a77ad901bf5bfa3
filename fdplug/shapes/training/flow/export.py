"""Stage `export` of `shapes-flow`: the trained parts as a Stable Diffusion 3 folder, in fp16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection

from fdplug.shapes import pipeline_folder
from fdplug.shapes.flow_networks import FLOW_CONTEXT, build_flow_scheduler, build_second_text_encoder
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.curves import draw_curves
from fdplug.shapes.training.export import tidy
from fdplug.shapes.training.flow.pooling import flow_tokenizer, trained_flow_text_encoder
from fdplug.shapes.training.flow.transformer import NO_SHIFT, shipped_vae, trained_transformer
from fdplug.shapes.training.log import LOG_NAME


def export_flow(config: TrainConfig) -> Path:
    """Write ``flow/``, log and loss curves into ``config.out / "export"``; return that folder."""
    folder = config.out / "export"
    shutil.rmtree(folder, ignore_errors=True)
    pipe = flow_pipeline(trained_transformer(config), trained_flow_text_encoder(config))
    pipe.to(dtype=torch.float16).save_pretrained(folder / "flow", safe_serialization=True)
    for name in ("text_encoder", "text_encoder_2"):
        tidy(folder / "flow" / name / "config.json")
    _share(folder / "flow")
    draw_curves(config.out / LOG_NAME, folder / "curves.png")
    shutil.copy(config.out / LOG_NAME, folder / LOG_NAME)
    return folder


def _share(folder: Path) -> None:
    """Put the very files of `shapes` in place of the autoencoder and the tokenizers.

    SD3 asks an autoencoder for the mean of its latents as well, which is zero here; prompts are shorter.
    """
    for name, origin in (("vae", "vae"), ("tokenizer", "tokenizer"), ("tokenizer_2", "tokenizer")):
        shutil.rmtree(folder / name)
        shutil.copytree(pipeline_folder() / origin, folder / name)
    _change(folder / "vae" / "config.json", shift_factor=NO_SHIFT)
    for name in ("tokenizer", "tokenizer_2"):
        _change(folder / name / "tokenizer_config.json", model_max_length=FLOW_CONTEXT)


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=2) + "\n")


def flow_pipeline(transformer: SD3Transformer2DModel, tower: CLIPTextModelWithProjection) -> Any:
    """A stock pipeline of the trained parts, with the empty second tower and without T5."""
    tokenizer: Any = flow_tokenizer()
    build: Any = StableDiffusion3Pipeline
    return build(
        transformer=transformer,
        scheduler=build_flow_scheduler(),
        vae=shipped_vae(),
        text_encoder=tower,
        tokenizer=tokenizer,
        text_encoder_2=build_second_text_encoder(len(tokenizer)).eval(),
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    )
