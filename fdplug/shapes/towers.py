"""The evaluators' networks: an attribute classifier, and an image tower beside a text tower."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fdplug.shapes.labels import CLASSES
from fdplug.shapes.networks import build_text_encoder

EMBEDDING = 64
_WIDTHS = ((3, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2), (64, 96, 1), (96, 96, 2))
_FLAT = 96 * 4 * 4
_HIDDEN = 192


class ImageTower(nn.Module):
    """Pictures (N, 3, 32, 32) in [0, 1] to features (N, 192)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in _WIDTHS:
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_FLAT, _HIDDEN), nn.SiLU())

    def forward(self, images: Tensor) -> Tensor:
        """Features of `images`."""
        return self.layers(images * 2 - 1)


class Classifier(nn.Module):
    """Names every attribute of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = ImageTower()
        self.heads = nn.ModuleDict({head: nn.Linear(_HIDDEN, len(names)) for head, names in CLASSES.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) of every head."""
        features = self.tower(images)
        return {name: head(features) for name, head in self.heads.items()}


class Embedder(nn.Module):
    """Pictures and captions in one space; matching pairs point the same way."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.image_tower = ImageTower()
        self.image_head = nn.Linear(_HIDDEN, EMBEDDING)
        self.text_tower = build_text_encoder(vocabulary, width=EMBEDDING)
        self.text_head = nn.Linear(EMBEDDING, EMBEDDING)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, 64) of pictures (N, 3, 32, 32) in [0, 1]."""
        return nn.functional.normalize(self.image_head(self.image_tower(images)), dim=-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Unit vectors (N, 64) of captions as tokens (N, CONTEXT); the last position has seen all of it."""
        return nn.functional.normalize(self.text_head(self.text_tower(tokens).last_hidden_state[:, -1]), dim=-1)
