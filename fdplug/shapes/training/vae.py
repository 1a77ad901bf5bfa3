"""Stage `vae`: the autoencoder, with the objects weighing more than the background and their outlines most of all."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from fdplug.shapes.coding import decode, encode
from fdplug.shapes.networks import build_vae
from fdplug.shapes.training.batches import Batch, generators, training_batch
from fdplug.shapes.training.checkpoints import load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.workers import Workers

OBJECT_WEIGHT = 4.0
OUTLINE_WEIGHT = 20.0
OUTLINE_WIDTH = 5
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-4
BATCH = 32


class VaeStage(Stage):
    """L1 + MSE + differences between neighbours, weighted by `importance`, plus a very small KL term."""

    name = "vae"
    learning_rate = 2e-3
    decay = 0.5

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(2400)
        vae: Any = build_vae()
        self.module = self.vae = vae.to(config.device)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one drawn batch and its reconstruction's PSNR in dB."""
        scenes, noise = generators(self.config.seed, self.name, step, self.workers.rank)
        batch = training_batch(scenes, BATCH // self.workers.world)
        images = batch.images.to(self.config.device) * 2 - 1
        posterior = self.vae.encode(images).latent_dist
        sample = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=noise).to(images.device)
        drawn = self.vae.decode(sample).sample
        fidelity = weighted_error(drawn, images, importance(batch.masks).to(images.device))
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        return fidelity + KL_WEIGHT * kl, {"psnr": psnr(drawn.detach(), images), "kl": kl.item()}

    def examine(self) -> dict[str, float]:
        """PSNR of the posterior mean on pictures that were not drawn in training."""
        return {"psnr": probed_psnr(self.vae, self.config)}


def importance(masks: Tensor) -> Tensor:
    """Weights (N, 1, H, W) of pixels: 1 of the background, 5 inside objects, 20 more around their outlines.

    A shape is told by its outline, which is a small part of an object, and which the pattern of a fill hides.
    """
    grown = nn.functional.max_pool2d(masks, OUTLINE_WIDTH, stride=1, padding=OUTLINE_WIDTH // 2)
    shrunk = -nn.functional.max_pool2d(-masks, OUTLINE_WIDTH, stride=1, padding=OUTLINE_WIDTH // 2)
    return 1 + OBJECT_WEIGHT * masks + OUTLINE_WEIGHT * (grown - shrunk)


def weighted_error(drawn: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    """Mean of |d| + d^2, and of |difference of neighbours|, under a weight of mean one."""
    weight = weight / weight.mean(dim=(2, 3), keepdim=True)
    error = drawn - images
    across, down = error.diff(dim=3).abs() * weight[..., 1:], error.diff(dim=2).abs() * weight[:, :, 1:]
    return (weight * (error.abs() + error**2)).mean() + EDGE_WEIGHT * (across.mean() + down.mean())


def psnr(drawn: Tensor, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [-1, 1], from the mean squared error of all of them."""
    return float(-10 * torch.log10(((drawn.clamp(-1, 1) - images) / 2).pow(2).mean()))


@torch.no_grad()
def probed_psnr(vae: AutoencoderKL, config: TrainConfig) -> float:
    """PSNR in dB of what an autoencoder makes of pictures that no step sees."""
    images = probe(config.seed, config.at_most(256)).images.to(config.device)
    return psnr(decode(vae, encode(vae, images)) * 2 - 1, images * 2 - 1)


def probe(seed: int, count: int) -> Batch:
    """A batch that no training step sees."""
    return training_batch(generators(seed, "probe", 0, 0)[0], count)


def trained_vae(config: TrainConfig) -> AutoencoderKL:
    """The finished autoencoder, frozen."""
    vae: Any = build_vae()
    load_result(config.out / "vae.pt", vae)
    return vae.to(config.device).eval().requires_grad_(False)
