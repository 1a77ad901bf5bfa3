"""Stage `flow`: the velocity predictor of `shapes-flow`, on latents encoded beforehand."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor, nn

from fdplug.shapes import pipeline_folder
from fdplug.shapes.coding import encode
from fdplug.shapes.flow_networks import CountedNull, build_transformer, prompt_states
from fdplug.shapes.scene import FLOW_WORLD
from fdplug.shapes.training.batches import generators, training_batch
from fdplug.shapes.training.checkpoints import kept, load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.flow.muon import Muon
from fdplug.shapes.training.flow.pooling import flow_tokenizer, flow_tokens, trained_flow_text_encoder
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.unet import CAPTION_DROPOUT, CHUNK, object_weights, surroundings
from fdplug.shapes.training.workers import Workers

BATCH = 48
POOL = 40_000
MATRIX_RATE = 0.02
UNIFORM_SHARE = 0.2
LATE_MEAN = -0.5
NULL_SHARE = 0.75
MOST_NULLS = 512
NO_SHIFT = 0.0


class FlowStage(Stage):
    """Flow matching with stratified noise levels; objects and their surroundings weigh three times the rest.

    As the learning rate falls, the noise levels move towards less noise, where outlines are drawn.
    """

    name = "flow"
    learning_rate = 1.5e-3
    warmup = 100
    ema = 0.998

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = max(2, config.length)
        transformer: Any = build_transformer()
        self.attention = CountedNull()
        transformer.set_attn_processor(self.attention)
        self.module = self.transformer = transformer.to(config.device)
        self.text = trained_flow_text_encoder(config)
        self.empty = flow_tokens(flow_tokenizer(), [""])

    def optimizer(self) -> torch.optim.Optimizer:
        """Muon for the matrices inside the blocks, AdamW for the rest."""
        matrices = [p for p in self.transformer.transformer_blocks.parameters() if p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in self.transformer.parameters() if id(p) not in chosen]
        groups = [
            {"params": matrices, "scale": MATRIX_RATE / self.learning_rate, "matrices": True},
            {"params": rest, "scale": 1.0},
        ]
        return Muon(groups, self.workers, self.betas)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Weighted and plain mean squared error of the predicted velocity."""
        numbers, random = generators(self.config.seed, self.name, step, self.workers.rank)
        count, device = BATCH // self.workers.world, self.config.device
        latents, captions, masks = self.pool
        rows = torch.randint(len(latents), (count,), generator=random)
        clean, noise = latents[rows].to(device), torch.randn(count, *latents.shape[1:], generator=random).to(device)
        levels = noise_levels(count, self._mean(step), random).to(device)
        empty = torch.rand(count, 1, generator=random) < CAPTION_DROPOUT
        tokens = torch.where(empty, self.empty, captions[rows]).to(device)
        share = levels.view(-1, 1, 1, 1)
        noisy = (1 - share) * clean + share * noise
        with torch.no_grad():
            states, pooled = prompt_states(self.text, tokens)
        guess = self._velocity(noisy, self._with_nulls(states, numbers), pooled, levels)
        error = (guess - (noise - clean)).pow(2).mean(dim=1)
        ratio = ((1 - levels) / levels).square()
        weight = object_weights(masks[rows].to(device), ratio)
        return (error * weight).mean(), {"mse": error.mean().item()}

    def _velocity(self, noisy: Tensor, states: Tensor, pooled: Tensor, levels: Tensor) -> Tensor:
        return self.transformer(noisy, states, pooled, 1000 * levels).sample

    def _with_nulls(self, states: Tensor, numbers: np.random.Generator) -> Tensor:
        """The states with T5's zeros as one position that stands for a random number of them, or without any."""
        if numbers.random() > NULL_SHARE:
            self.attention.count = 1.0
            return states
        self.attention.count = math.exp(numbers.uniform(0, math.log(MOST_NULLS)))
        return nn.functional.pad(states, (0, 0, 0, 1))

    def _mean(self, step: int) -> float:
        """Mean of the noise levels' logits: zero, and negative while the learning rate falls."""
        left = min(1.0, (self.steps - step) / (self.decay * self.steps))
        return LATE_MEAN * (1 - left)

    @cached_property
    @torch.no_grad()
    def pool(self) -> tuple[Tensor, Tensor, Tensor]:
        """This worker's share of the training pictures, kept on disk.

        Returns:
            Scaled latents (M, 4, 16, 16), captions as tokens (M, 30), and where objects are (M, 16, 16), bool.
        """
        file = f"flow-pool-{self.workers.rank}-of-{self.workers.world}.pt"
        return kept(self.config.out / file, self._encoded)

    def _encoded(self) -> tuple[Tensor, Tensor, Tensor]:
        vae, tokenizer = shipped_vae(), flow_tokenizer()
        chunks = max(1, self.config.at_most(POOL) // self.workers.world // CHUNK)
        latents, captions, masks = [], [], []
        for chunk in range(chunks):
            scenes, _ = generators(self.config.seed, "flow-pool", chunk, self.workers.rank)
            batch = training_batch(scenes, CHUNK, FLOW_WORLD)
            latents.append(encode(vae, batch.images) * vae.config.scaling_factor)
            captions += batch.captions
            masks.append(surroundings(batch.masks))
        return torch.cat(latents), flow_tokens(tokenizer, captions), torch.cat(masks)


def noise_levels(count: int, mean: float, random: torch.Generator) -> Tensor:
    """Noise levels (N,) in (0, 1), one in each of `count` equal parts of their distribution.

    Four fifths are logit-normal (mean `mean`, deviation 1; Esser et al., 2024, section 3.1), one fifth is uniform.
    """
    places = (torch.randperm(count, generator=random) + torch.rand(count, generator=random)) / count
    uniform = torch.rand(count, generator=random) < UNIFORM_SHARE
    normal = (mean + math.sqrt(2) * torch.erfinv(2 * places.clamp(1e-4, 1 - 1e-4) - 1)).sigmoid()
    return torch.where(uniform, places, normal).clamp(1e-3, 1.0)


def shipped_vae() -> AutoencoderKL:
    """The autoencoder of `shapes`, frozen, with the mean of its latents for SD3."""
    vae: Any = AutoencoderKL.from_pretrained(pipeline_folder() / "vae")
    vae.register_to_config(shift_factor=NO_SHIFT)
    return vae.eval().requires_grad_(False)


def trained_transformer(config: TrainConfig) -> SD3Transformer2DModel:
    """The finished transformer (its averaged weights)."""
    transformer: Any = build_transformer()
    load_result(config.out / "flow.pt", transformer)
    return transformer.to(config.device).eval()
