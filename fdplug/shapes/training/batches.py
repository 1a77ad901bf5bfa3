"""Training batches: drawn on the fly, each fixed by (seed, stage, step, rank) so that a resumed run sees the same."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fdplug.shapes.drawing import draw_with_mask
from fdplug.shapes.scene import WHOLE_WORLD, Scene, World, random_scene, training_scene


@dataclass(frozen=True)
class Batch:
    """Scenes with their pictures (N, 3, H, W) in [0, 1] and object masks (N, 1, H, W) in [0, 1]."""

    scenes: list[Scene]
    images: Tensor
    masks: Tensor

    @property
    def captions(self) -> list[str]:
        """The captions of the scenes."""
        return [scene.caption for scene in self.scenes]


def training_batch(rng: np.random.Generator, count: int, world: World = WHOLE_WORLD) -> Batch:
    """Draw `count` scenes of `world` whose captions are not held out."""
    return batch_of([training_scene(rng, world) for _ in range(count)])


def any_batch(rng: np.random.Generator, count: int) -> Batch:
    """Draw `count` scenes of every kind, for the evaluators: they must know the combinations that are held out."""
    return batch_of([random_scene(rng) for _ in range(count)])


def batch_of(scenes: list[Scene]) -> Batch:
    """Draw the given scenes."""
    drawn = [draw_with_mask(scene) for scene in scenes]
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(np.stack([mask for _, mask in drawn])).float()[:, None]
    return Batch(scenes, images, masks)


def generators(seed: int, stage: str, step: int, rank: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random sources of one step on one worker: for scenes and for tensors."""
    key = np.random.SeedSequence([seed, zlib.crc32(stage.encode()), step, rank])
    return np.random.default_rng(key), torch.Generator().manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1))
