"""Stage `finder`: the judge of obedience learns to tell objects from their background, whatever their pattern."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from fdplug.shapes.coding import decode, encode
from fdplug.shapes.control.agreement import boundaries, outline_f1
from fdplug.shapes.control.networks import ObjectFinder
from fdplug.shapes.training.augment import augmented
from fdplug.shapes.training.batches import any_batch, generators
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.control.controlnet import outlines_of, shipped
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.workers import Workers

BATCH = 32
STEPS = 400


class FinderStage(Stage):
    """Cross-entropy of every pixel against the drawn objects, on pictures of every kind, a third through the VAE."""

    name = "finder"
    learning_rate = 3e-3

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(STEPS)
        self.module = self.finder = ObjectFinder().to(config.device)
        self.vae = shipped("vae", AutoencoderKL).to(config.device)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one augmented batch and the mean overlap (intersection over union) of objects found and drawn."""
        scenes, noise = generators(self.config.seed, self.name, step, self.workers.rank)
        batch = any_batch(scenes, BATCH // self.workers.world)
        logits = self.finder(augmented(batch.images.to(self.config.device), self.vae, noise))
        wanted = batch.masks[:, 0].to(self.config.device)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        return loss, {"overlap": overlap(logits > 0, wanted > 0.5)}

    @torch.no_grad()
    def examine(self) -> dict[str, float]:
        """Overlap and outline agreement on pictures that no step saw, as drawn and through the autoencoder."""
        batch = any_batch(generators(self.config.seed, "probe", 0, 0)[0], self.config.at_most(256))
        images = batch.images.to(self.config.device)
        coded = decode(self.vae, encode(self.vae, images))
        wanted, lines = batch.masks[:, 0] > 0.5, outlines_of(batch.scenes) > 127
        found = {name: (self.finder(one) > 0).cpu() for name, one in (("drawn", images), ("vae", coded))}
        overlaps = {f"overlap_{name}": overlap(one, wanted) for name, one in found.items()}
        return overlaps | {
            f"f1_{name}": outline_f1(boundaries(one), lines).mean().item() for name, one in found.items()
        }


def overlap(found: Tensor, wanted: Tensor) -> float:
    """Mean over pictures of the intersection over the union of two areas, bool (N, H, W)."""
    both, either = (found & wanted).flatten(1).sum(1), (found | wanted).flatten(1).sum(1)
    return (both / either.clamp(min=1)).mean().item()
