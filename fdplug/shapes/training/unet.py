"""Stage `unet`: the noise predictor, on latents encoded beforehand; the text tower stays as it was pre-trained."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from fdplug.shapes.coding import encode
from fdplug.shapes.networks import LATENT_SIZE, build_scheduler, build_unet
from fdplug.shapes.training.batches import generators, training_batch
from fdplug.shapes.training.checkpoints import kept, load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.text import new_tokenizer, tokens_of, trained_text_encoder
from fdplug.shapes.training.vae import probe, trained_vae
from fdplug.shapes.training.workers import Workers

BATCH = 48
POOL = 40_000
CHUNK = 100
CAPTION_DROPOUT = 0.1
MIN_SNR = 5.0
LAYOUT_LIMIT = 4.0
OBJECT_WEIGHT = 2.0
OBJECT_RATIO = 0.3


class UnetStage(Stage):
    """Noise prediction with min-SNR weights, stratified timesteps and one caption in ten left empty.

    Where the noise is low enough to see where things are, objects and their surroundings weigh three times the rest.
    """

    name = "unet"
    learning_rate = 1e-3
    warmup = 100
    ema = 0.998

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = max(2, config.length)
        unet: Any = build_unet()
        self.module = self.unet = unet.to(config.device)
        self.text = trained_text_encoder(config)
        self.keep = build_scheduler().alphas_cumprod.to(config.device)
        self.empty = tokens_of(new_tokenizer(), [""])

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Weighted and plain mean squared error of the predicted noise."""
        _, random = generators(self.config.seed, self.name, step, self.workers.rank)
        count, device = BATCH // self.workers.world, self.config.device
        latents, captions, masks = self.pool
        rows = torch.randint(len(latents), (count,), generator=random)
        clean, noise = latents[rows].to(device), torch.randn(count, *latents.shape[1:], generator=random)
        times, noise = stratified_times(count, random).to(device), noise.to(device)
        empty = torch.rand(count, 1, generator=random) < CAPTION_DROPOUT
        tokens = torch.where(empty, self.empty, captions[rows]).to(device)
        keep = self.keep[times]
        with torch.no_grad():
            context = self.text(tokens).last_hidden_state
        guess = self.unet(noised(clean, noise, keep), times, context).sample
        return noise_loss(guess, noise, masks[rows].to(device), keep)

    @cached_property
    @torch.no_grad()
    def pool(self) -> tuple[Tensor, Tensor, Tensor]:
        """This worker's share of the training pictures, kept on disk.

        Returns:
            Scaled latents (M, 4, 16, 16), captions as tokens (M, CONTEXT), and where objects are (M, 16, 16), bool.
        """
        file = f"pool-{self.workers.rank}-of-{self.workers.world}.pt"
        return kept(self.config.out / file, self._encoded)

    def _encoded(self) -> tuple[Tensor, Tensor, Tensor]:
        vae, tokenizer = trained_vae(self.config), new_tokenizer()
        factor = scaling_factor(vae, self.config)
        chunks = max(1, self.config.at_most(POOL) // self.workers.world // CHUNK)
        latents, captions, masks = [], [], []
        for chunk in range(chunks):
            scenes, _ = generators(self.config.seed, "pool", chunk, self.workers.rank)
            batch = training_batch(scenes, CHUNK)
            latents.append(encode(vae, batch.images.to(self.config.device)).cpu() * factor)
            captions += batch.captions
            masks.append(surroundings(batch.masks))
        return torch.cat(latents), tokens_of(tokenizer, captions), torch.cat(masks)


def surroundings(masks: Tensor) -> Tensor:
    """Latent cells (N, 16, 16) that an object touches, and their neighbours; `masks` are (N, 1, 64, 64)."""
    touched = nn.functional.max_pool2d(masks, masks.shape[-1] // LATENT_SIZE)
    return nn.functional.max_pool2d(touched, 3, stride=1, padding=1)[:, 0] > 0


def noised(clean: Tensor, noise: Tensor, keep: Tensor) -> Tensor:
    """Latents (N, 4, H, W) with noise; `keep` (N,) is the share of the variance that is not noise."""
    share = keep.view(-1, 1, 1, 1)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def noise_loss(guess: Tensor, noise: Tensor, masks: Tensor, keep: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Weighted and plain mean squared error of the predicted noise, with more weight on objects, `masks` (N, H, W)."""
    error = (guess - noise).pow(2).mean(dim=1)
    ratio = keep / (1 - keep)
    weight = noise_weights(ratio)[:, None, None] * object_weights(masks, ratio)
    return (error * weight).mean(), {"mse": error.mean().item()}


def object_weights(masks: Tensor, ratio: Tensor) -> Tensor:
    """Weights (N, 16, 16) of mean one per picture: more on the objects if the signal-to-noise `ratio` (N,) is high.

    At high noise the places of the objects are not decided yet; weights that depend on them would bias the prediction.
    """
    weight = 1 + OBJECT_WEIGHT * masks * (ratio > OBJECT_RATIO)[:, None, None]
    return weight / weight.mean(dim=(1, 2), keepdim=True)


def stratified_times(count: int, random: torch.Generator) -> Tensor:
    """One timestep in each of `count` equal parts of 0..999, in random order."""
    places = (torch.randperm(count, generator=random) + torch.rand(count, generator=random)) / count
    return (places * 1000).long().clamp(max=999)


def noise_weights(ratio: Tensor) -> Tensor:
    """Weight of the squared error of predicted noise at signal-to-noise ratios `ratio`.

    Low noise counts less (min-SNR); high noise, at which it is decided what stands where, counts more: ``1 + 1/ratio``
    as in velocity prediction, up to `LAYOUT_LIMIT`.
    """
    return (MIN_SNR / ratio).clamp(max=1.0) * (1 + 1 / ratio).clamp(max=LAYOUT_LIMIT)


@torch.no_grad()
def scaling_factor(vae: AutoencoderKL, config: TrainConfig) -> float:
    """What brings the latents to unit standard deviation."""
    images = probe(config.seed, config.at_most(512)).images.to(config.device)
    return round(1 / float(encode(vae, images).std()), 4)


def trained_unet(config: TrainConfig) -> UNet2DConditionModel:
    """The finished U-Net (its averaged weights)."""
    unet: Any = build_unet()
    load_result(config.out / "unet.pt", unet)
    return unet.to(config.device).eval()
