"""Stage `pooling`: one layer on top of the text tower of `shapes` that gathers a caption into one vector.

Extra supervision, as in stage `text`: the vector must name everything that the caption demands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fdplug.shapes import pipeline_folder
from fdplug.shapes.flow_networks import FLOW_CONTEXT, TOWER_LAYERS, build_flow_text_encoder
from fdplug.shapes.labels import ABSENT, CLASSES, agreement, labels
from fdplug.shapes.networks import TEXT_WIDTH
from fdplug.shapes.scene import FLOW_WORLD, training_scene
from fdplug.shapes.tokenizer import load_tokenizer
from fdplug.shapes.training.batches import generators
from fdplug.shapes.training.checkpoints import load_result
from fdplug.shapes.training.config import TrainConfig
from fdplug.shapes.training.loop import Stage
from fdplug.shapes.training.workers import Workers

BATCH = 128
HEADS = {head: len(names) for head, names in CLASSES.items() if not head.endswith("3")}


class PoolingModule(nn.Module):
    """The tower, of which only the last layer, its norm and the projection learn, and a linear head per label."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.tower = build_flow_text_encoder(vocabulary).requires_grad_(False)
        shared = CLIPTextModel.from_pretrained(pipeline_folder() / "text_encoder").state_dict()
        own = {name: value for name, value in shared.items() if "final_layer_norm" not in name}
        self.tower.text_model.load_state_dict(own, strict=False)
        for part in (self.layer, self.tower.text_model.final_layer_norm, self.tower.text_projection):
            part.requires_grad_(True)
        self.heads = nn.ModuleDict({head: nn.Linear(TEXT_WIDTH, count) for head, count in HEADS.items()})

    @property
    def layer(self) -> nn.Module:
        """The layer that gathers."""
        return self.tower.text_model.encoder.layers[TOWER_LAYERS]

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) of every label from the pooled vectors of prompts (N, 30)."""
        pooled = self.tower(tokens).text_embeds
        return {name: head(pooled) for name, head in self.heads.items()}


class PoolingStage(Stage):
    """Cross-entropy of every head on the pooled vector."""

    name = "pooling"
    learning_rate = 2e-3

    def __init__(self, workers: Workers, config: TrainConfig) -> None:
        super().__init__(workers, config)
        self.steps = config.scaled(600)
        self.tokenizer = flow_tokenizer()
        self.module = self.pooling = PoolingModule(len(self.tokenizer)).to(config.device)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch of captions and the share of captions read without a mistake."""
        scenes, _ = generators(self.config.seed, self.name, step, self.workers.rank)
        demands = [training_scene(scenes, FLOW_WORLD).demand for _ in range(BATCH // self.workers.world)]
        wanted = {head: index.to(self.config.device) for head, index in labels(demands).items()}
        tokens = flow_tokens(self.tokenizer, [demand.caption for demand in demands])
        logits = self.pooling(tokens.to(self.config.device))
        losses = [nn.functional.cross_entropy(logits[h], wanted[h], ignore_index=ABSENT) for h in HEADS]
        answers = {head: logits[head].argmax(-1) for head in HEADS}
        answers |= {head: wanted[head] for head in CLASSES if head not in HEADS}  # no third object
        return torch.stack(losses).sum(), {"exact": agreement(answers, wanted)["all"].float().mean().item()}


def flow_tokenizer() -> CLIPTokenizer:
    """The tokenizer of `shapes` with prompts of 30 positions."""
    tokenizer = load_tokenizer(pipeline_folder() / "tokenizer")
    tokenizer.model_max_length = FLOW_CONTEXT
    return tokenizer


def flow_tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token indices (N, 30), padded as the pipeline pads."""
    return tokenizer(
        captions, padding="max_length", max_length=FLOW_CONTEXT, truncation=True, return_tensors="pt"
    ).input_ids


def trained_flow_text_encoder(config: TrainConfig) -> CLIPTextModelWithProjection:
    """The finished text tower without its heads, frozen."""
    module = PoolingModule(len(flow_tokenizer()))
    load_result(config.out / "pooling.pt", module)
    return module.to(config.device).eval().requires_grad_(False).tower
