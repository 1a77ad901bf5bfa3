"""Stage `evaluators`: the attribute classifier and the image/text embedding, on pictures drawn on the fly.

Unlike the generator, these judges are shown every combination of colour, fill and shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fdplug.shapes.captions import MIRRORED, MOST_OBJECTS
from fdplug.shapes.coding import decode, encode
from fdplug.shapes.labels import ABSENT, CLASSES, agreement, labels
from fdplug.shapes.scene import Scene
from fdplug.shapes.towers import CELL, GRID, Classifier, Embedder
from fdplug.shapes.training.augment import augmented
from fdplug.shapes.training.batches import any_batch, generators
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.text import new_tokenizer, tokens_of
from fdplug.shapes.training.vae import trained_vae
from fdplug.shapes.training.workers import Workers

CLASSIFIER_BATCH = 96
EMBEDDING_BATCH = 128


class ClassifierStage(Stage):
    """Cross-entropy of every attribute and, as a help, of the place where each object stands."""

    name = "classifier"
    learning_rate = 1.5e-3

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(1000)
        self.module = self.classifier = Classifier().to(config.device)
        self.vae = trained_vae(config)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one augmented batch and the share of pictures named without a mistake."""
        scenes, noise = generators(self.config.seed, self.name, step, self.workers.rank)
        batch = any_batch(scenes, CLASSIFIER_BATCH // self.workers.world)
        logits = self.classifier(augmented(batch.images.to(self.config.device), self.vae, noise))
        wanted = {h: i.to(self.config.device) for h, i in labels([s.demand for s in batch.scenes]).items()}
        losses = [_cross_entropy(logits[h], wanted[h]) for h in CLASSES]
        losses.append(
            _cross_entropy(logits["where"].flatten(0, 1), cells(batch.scenes).flatten().to(self.config.device))
        )
        return torch.stack(losses).sum(), {"exact": _exact(logits, wanted)}

    @torch.no_grad()
    def examine(self) -> dict[str, float]:
        """Exact matches on pictures that no step saw, as drawn and through the autoencoder."""
        batch = any_batch(generators(self.config.seed, "probe", 0, 0)[0], self.config.at_most(1000))
        images = batch.images.to(self.config.device)
        wanted = {h: i.to(self.config.device) for h, i in labels([s.demand for s in batch.scenes]).items()}
        coded = decode(self.vae, encode(self.vae, images))
        return {
            "exact_drawn": _exact(self.classifier(images), wanted),
            "exact_vae": _exact(self.classifier(coded), wanted),
        }


class EmbeddingStage(Stage):
    """Symmetric contrastive loss between pictures and their captions."""

    name = "embedding"
    learning_rate = 1.5e-3

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(250)
        self.tokenizer = new_tokenizer()
        self.module = self.embedder = Embedder(len(self.tokenizer)).to(config.device)
        self.vae = trained_vae(config)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one augmented batch and the share of pictures whose own caption is nearest."""
        scenes, noise = generators(self.config.seed, self.name, step, self.workers.rank)
        batch = any_batch(scenes, EMBEDDING_BATCH // self.workers.world)
        pictures = self.embedder.embed_images(augmented(batch.images.to(self.config.device), self.vae, noise))
        texts = self._embed(batch.captions)
        scores = self.embedder.log_scale.clamp(max=4.0).exp() * pictures @ texts.T
        own = torch.arange(len(scores), device=scores.device)
        loss = nn.functional.cross_entropy(scores, own) + nn.functional.cross_entropy(scores.T, own)
        return loss, {"retrieval": (scores.argmax(1) == own).float().mean().item()}

    @torch.no_grad()
    def examine(self) -> dict[str, float]:
        """Retrieval among 1,000, and the cosine of matching and of shifted pairs."""
        batch = any_batch(generators(self.config.seed, "probe", 0, 0)[0], self.config.at_most(1000))
        pictures = self.embedder.embed_images(batch.images.to(self.config.device))
        texts = self._embed(batch.captions)
        scores = pictures @ texts.T
        own = torch.arange(len(scores), device=scores.device)
        return {
            "retrieval_of_1000": (scores.argmax(1) == own).float().mean().item(),
            "matched": scores.diag().mean().item(),
            "shifted": (pictures * texts.roll(1, 0)).sum(1).mean().item(),
        }

    def _embed(self, captions: list[str]) -> Tensor:
        return self.embedder.embed_tokens(tokens_of(self.tokenizer, captions).to(self.config.device))


def cells(scenes: Sequence[Scene]) -> Tensor:
    """Index (N, 3) of the cell of a 16x16 grid in which the centre of each object lies, in canonical order."""
    rows = []
    for scene in scenes:
        things = scene.things[::-1] if scene.layout in MIRRORED else scene.things
        row = [int(thing.y / CELL) * GRID + int(thing.x / CELL) for thing in things]
        rows.append(row + [ABSENT] * (MOST_OBJECTS - len(row)))
    return torch.tensor(rows)


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean over the pictures that have this label (0 if none has)."""
    total = nn.functional.cross_entropy(logits, wanted, ignore_index=ABSENT, reduction="sum")
    return total / wanted.ne(ABSENT).sum().clamp(min=1)


def _exact(logits: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    answers = {head: logits[head].argmax(-1) for head in CLASSES}
    return agreement(answers, wanted)["all"].float().mean().item()
