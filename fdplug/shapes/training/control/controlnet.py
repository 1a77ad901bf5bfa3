"""Stage `control`: a ControlNet learns to follow outlines beside the U-Net of `shapes`, which stays as it is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from fdplug.shapes import pipeline_folder
from fdplug.shapes.coding import encode
from fdplug.shapes.control.networks import build_controlnet
from fdplug.shapes.control.outlines import draw_outlines
from fdplug.shapes.networks import build_scheduler
from fdplug.shapes.scene import Scene
from fdplug.shapes.tokenizer import load_tokenizer
from fdplug.shapes.training.batches import generators, training_batch
from fdplug.shapes.training.checkpoints import kept, load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.text import tokens_of
from fdplug.shapes.training.unet import noise_loss, noised, stratified_times, surroundings
from fdplug.shapes.training.workers import Workers

BATCH = 24
POOL = 8_000
CHUNK = 100
CAPTION_DROPOUT = 0.5


class ControlStage(Stage):
    """Noise prediction with the outlines of the picture given and every other caption empty.

    What an empty caption does not say must be learnt from the outlines. Weights and timesteps are those of the U-Net's
    own training.
    """

    name = "control"
    learning_rate = 1e-3
    warmup = 100
    ema = 0.998

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = max(2, config.length)
        self.unet = shipped("unet", UNet2DConditionModel).to(config.device)
        self.text = shipped("text_encoder", CLIPTextModel).to(config.device)
        controlnet: Any = build_controlnet(self.unet)
        self.module = self.controlnet = controlnet.to(config.device).requires_grad_(True)
        self.keep = build_scheduler().alphas_cumprod.to(config.device)
        self.tokenizer = load_tokenizer(pipeline_folder() / "tokenizer")
        self.empty = tokens_of(self.tokenizer, [""])

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Weighted and plain mean squared error of the predicted noise."""
        _, random = generators(self.config.seed, self.name, step, self.workers.rank)
        count, device = BATCH // self.workers.world, self.config.device
        latents, captions, masks, lines = self.pool
        rows = torch.randint(len(latents), (count,), generator=random)
        clean, noise = latents[rows].to(device), torch.randn(count, *latents.shape[1:], generator=random).to(device)
        times = stratified_times(count, random).to(device)
        empty = torch.rand(count, 1, generator=random) < CAPTION_DROPOUT
        tokens = torch.where(empty, self.empty, captions[rows]).to(device)
        keep = self.keep[times]
        guess = self._predicted(noised(clean, noise, keep), times, tokens, lines[rows].to(device))
        return noise_loss(guess, noise, masks[rows].to(device), keep)

    def _predicted(self, noisy: Tensor, times: Tensor, tokens: Tensor, lines: Tensor) -> Tensor:
        with torch.no_grad():
            context = self.text(tokens).last_hidden_state
        hint = (lines.float() / 255)[:, None].expand(-1, 3, -1, -1)
        down, middle = self.controlnet(noisy, times, context, hint, return_dict=False)
        return self.unet(
            noisy, times, context, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample

    @cached_property
    @torch.no_grad()
    def pool(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This worker's share of the training pictures, kept on disk.

        Returns:
            Scaled latents (M, 4, 16, 16), captions as tokens (M, CONTEXT), where objects are (M, 16, 16), bool, and
            the outlines (M, 64, 64), uint8.
        """
        file = f"control-pool-{self.workers.rank}-of-{self.workers.world}.pt"
        return kept(self.config.out / file, self._encoded)

    def _encoded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        vae = shipped("vae", AutoencoderKL)
        chunks = max(1, self.config.at_most(POOL) // self.workers.world // CHUNK)
        latents, captions, masks, lines = [], [], [], []
        for chunk in range(chunks):
            scenes, _ = generators(self.config.seed, "control-pool", chunk, self.workers.rank)
            batch = training_batch(scenes, CHUNK)
            latents.append(encode(vae, batch.images) * vae.config.scaling_factor)
            captions += batch.captions
            masks.append(surroundings(batch.masks))
            lines.append(outlines_of(batch.scenes))
        return torch.cat(latents), tokens_of(self.tokenizer, captions), torch.cat(masks), torch.cat(lines)


def outlines_of(scenes: list[Scene]) -> Tensor:
    """The outlines (N, 64, 64) of scenes, uint8."""
    return torch.from_numpy(np.stack([draw_outlines(scene)[..., 0] for scene in scenes]))


def shipped(part: str, kind: Any) -> Any:
    """A part of `shapes`, frozen."""
    return kind.from_pretrained(pipeline_folder() / part).eval().requires_grad_(False)


def trained_controlnet(config: TrainConfig) -> ControlNetModel:
    """The finished ControlNet (its averaged weights)."""
    controlnet: Any = build_controlnet(shipped("unet", UNet2DConditionModel))
    load_result(config.out / "control.pt", controlnet)
    return controlnet.to(config.device).eval()
