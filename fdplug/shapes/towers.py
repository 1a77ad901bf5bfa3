"""The evaluators' networks: an attribute classifier that finds each object first, and an image/text embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fdplug.shapes.captions import MOST_OBJECTS
from fdplug.shapes.labels import CLASSES, OBJECT_CLASSES
from fdplug.shapes.networks import build_text_encoder

EMBEDDING = 64
GRID = 16
CELL = 4
_DETAIL = ((3, 32, 5, 2), (32, 48, 3, 1), (48, 64, 3, 2), (64, 96, 3, 1))
_OVERVIEW = ((96, 96, 3, 2), (96, 96, 3, 2))
_CHANNELS = 96
_HIDDEN = 192


class ImageTower(nn.Module):
    """Pictures (N, 3, 64, 64) in [0, 1] to detail features (N, 96, 16, 16) and an overview (N, 192)."""

    def __init__(self) -> None:
        super().__init__()
        self.detail = _convolutions(_DETAIL)
        flat = _CHANNELS * (GRID // 4) ** 2
        self.overview = nn.Sequential(_convolutions(_OVERVIEW), nn.Flatten(), nn.Linear(flat, _HIDDEN), nn.SiLU())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        detail = self.detail(images * 2 - 1)
        return detail, self.overview(detail)

    def layers(self, images: Tensor) -> list[Tensor]:
        """What each of its six convolutions gives behind its SiLU, (N, channels, height, width), the finest first."""
        found, features = [], images * 2 - 1
        for module in (*self.detail, *self.overview[0].children()):
            features = module(features)
            if isinstance(module, nn.SiLU):
                found.append(features)
        return found


class Classifier(nn.Module):
    """Names every attribute of a picture: finds the first, second and third object, then names what stands there."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = ImageTower()
        self.scene = nn.ModuleDict({name: nn.Linear(_HIDDEN, len(CLASSES[name])) for name in ("layout", "background")})
        self.place = nn.Parameter(torch.zeros(1, _CHANNELS, GRID, GRID))
        self.context = nn.Linear(_HIDDEN, _CHANNELS)
        self.where = nn.Sequential(nn.SiLU(), *_convolution(_CHANNELS, 48, 3, 1), nn.Conv2d(48, MOST_OBJECTS, 1))
        self.what = nn.Sequential(nn.Linear(_CHANNELS, _HIDDEN), nn.SiLU())
        self.heads = nn.ModuleDict({name: nn.Linear(_HIDDEN, len(names)) for name, names in OBJECT_CLASSES.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) of each head, and ``where``: logits (N, 3, 256) of each object's cell in a 16x16 grid."""
        detail, overview = self.tower(images)
        where = self.where(detail + self.place + self.context(overview)[..., None, None]).flatten(2)
        seen = self.what(where.softmax(-1) @ detail.flatten(2).transpose(1, 2))
        named = {name: head(overview) for name, head in self.scene.items()}
        for name, head in self.heads.items():
            logits = head(seen)
            named |= {f"{name}{number + 1}": logits[:, number] for number in range(MOST_OBJECTS)}
        return named | {"where": where}


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
        """Unit vectors (N, 64) of pictures (N, 3, 64, 64) in [0, 1]."""
        return nn.functional.normalize(self.image_head(self.image_tower(images)[1]), dim=-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Unit vectors (N, 64) of captions as tokens (N, CONTEXT); the last position has seen all of it."""
        return nn.functional.normalize(self.text_head(self.text_tower(tokens).last_hidden_state[:, -1]), dim=-1)


def _convolutions(layers: tuple[tuple[int, int, int, int], ...]) -> nn.Sequential:
    return nn.Sequential(*(module for layer in layers for module in _convolution(*layer)))


def _convolution(inputs: int, outputs: int, width: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, width, stride, width // 2), nn.GroupNorm(8, outputs), nn.SiLU()
