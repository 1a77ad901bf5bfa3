"""Stage `text`: the text tower learns what captions mean before the U-Net starts.

Extra supervision: every position after the caption must name the arrangement and the background; each third of these
positions must name the place, size, fill, colour and shape of one object, counted from the left or from the top, by the
same linear heads. The U-Net can then look up an object by its place and read its attributes in one common code.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from fdplug.shapes.captions import MOST_OBJECTS
from fdplug.shapes.labels import ABSENT, ARRANGEMENTS, CLASSES, OBJECT_CLASSES, agreement, labels
from fdplug.shapes.networks import TEXT_WIDTH, build_text_encoder
from fdplug.shapes.scene import training_scene
from fdplug.shapes.tokenizer import load_tokenizer, write_tokenizer
from fdplug.shapes.training.batches import generators
from fdplug.shapes.training.checkpoints import load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.workers import Workers

AFTER_CAPTION = 24
BATCH = 128
PLACES = len(ARRANGEMENTS)
OBJECT_HEADS = {"place": MOST_OBJECTS * PLACES} | {name: len(names) for name, names in OBJECT_CLASSES.items()}
HEADS = {name: len(CLASSES[name]) for name in ("layout", "background")} | OBJECT_HEADS


class TextModule(nn.Module):
    """The text tower with one linear head per kind of label."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.encoder = build_text_encoder(vocabulary)
        self.heads = nn.ModuleDict({head: nn.Linear(TEXT_WIDTH, count) for head, count in HEADS.items()})

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Logits (N, positions, classes) of every label at its positions after the caption."""
        hidden = self.encoder(tokens).last_hidden_state[:, AFTER_CAPTION:]
        parts = hidden.chunk(MOST_OBJECTS, dim=1)
        scene = {name: self.heads[name](hidden) for name in ("layout", "background")}
        objects = {f"{name}{n}": self.heads[name](part) for n, part in enumerate(parts, 1) for name in OBJECT_HEADS}
        return scene | objects


class TextStage(Stage):
    """Cross-entropy of every head at each of its positions."""

    name = "text"
    learning_rate = 2e-3

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(600)
        self.tokenizer = new_tokenizer()
        self.module = self.text = TextModule(len(self.tokenizer)).to(config.device)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch of captions and the share of captions read without a mistake."""
        scenes, _ = generators(self.config.seed, self.name, step, self.workers.rank)
        demands = [training_scene(scenes).demand for _ in range(BATCH // self.workers.world)]
        wanted = {head: index.to(self.config.device) for head, index in labels(demands).items()}
        places = {f"place{n}": wanted["layout"] + (n - 1) * PLACES for n in range(1, MOST_OBJECTS + 1)}
        logits = self.text(tokens_of(self.tokenizer, [demand.caption for demand in demands]).to(self.config.device))
        loss = torch.stack([_cross_entropy(logits[head], index) for head, index in (wanted | places).items()]).sum()
        answers = {head: logits[head][:, -1].argmax(-1) for head in CLASSES}  # the last position of each head's part
        return loss, {"exact": agreement(answers, wanted)["all"].float().mean().item()}


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean over the positions and over the captions that have this label (0 if none has)."""
    spread = wanted[:, None].expand(-1, logits.shape[1])
    total = nn.functional.cross_entropy(logits.transpose(1, 2), spread, ignore_index=ABSENT, reduction="sum")
    return total / spread.ne(ABSENT).sum().clamp(min=1)


def new_tokenizer() -> CLIPTokenizer:
    """The tokenizer, built from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        return load_tokenizer(Path(folder))


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token indices (N, CONTEXT), padded as Stable Diffusion pads."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def trained_text_encoder(config: TrainConfig) -> CLIPTextModel:
    """The finished text tower without its heads, frozen."""
    text = TextModule(len(new_tokenizer()))
    load_result(config.out / "text.pt", text)
    return text.to(config.device).eval().requires_grad_(False).encoder
