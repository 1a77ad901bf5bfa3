"""A system: one stock pipeline that fdplug accelerates, how to build it tiny, and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def nothing(pipe: Any) -> None:
    """Leave a pipeline as it is."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One row of the support table; the conformance suite is parametrised with it.

    Attributes:
        name: how tests and `fdplug families --json` call it.
        title: what users call it.
        pipeline: class name in diffusers.
        build: returns the pipeline at tiny size, from its real classes, with random weights.
        arguments: arguments of a call for n pictures (or videos).
        prepare: puts on top what is not saved with the pipeline: adapters, attention processors.
        resized: arguments of a call for another size; empty where the size is fixed.
        steps: number of steps in tests.
        largest: most pictures in one call.
        parallel: whether spans can be decoded in one batch.
        key_set: the published key steps that are meant for it.
        also: further systems that differ in nothing that fdplug sees.
    """

    name: str
    title: str
    pipeline: str
    build: Callable[[], Any]
    arguments: Callable[[int], Mapping[str, Any]]
    prepare: Callable[[Any], None] = nothing
    resized: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 6
    largest: int = 2
    parallel: bool = True
    key_set: str = "sd"
    also: str = ""

    def make(self) -> Any:
        """Build the pipeline from fixed random weights, silent and in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pipe = silent(self.build())
        self.prepare(pipe)
        return pipe

    def reload(self, pipe: Any, folder: Path) -> Any:
        """Save the pipeline to a folder, load it again and put on top what this system needs."""
        pipe.save_pretrained(folder)
        absent = {name: None for name, component in pipe.components.items() if component is None}
        loaded = silent(type(pipe).from_pretrained(folder, **absent))
        self.prepare(loaded)
        return loaded

    def run(self, pipe: Any, n: int = 1, seed: int = 0, **changes: Any) -> Tensor:
        """Make n pictures, picture i from a generator of its own; return latents or pixels, (n, ...).

        Pipelines that hand no generator on to their scheduler or VAE draw from torch's own, which is seeded as well.
        """
        generators = [torch.Generator().manual_seed(seed + index) for index in range(n)]
        arguments = {
            "num_inference_steps": self.steps,
            "generator": generators[0] if self.largest == 1 else generators,
            **self.arguments(n),
            **changes,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _tensor(pipe(**arguments))


def silent(pipe: Any) -> Any:
    """Switch progress bars off."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _tensor(output: Any) -> Tensor:
    value = next(getattr(output, name) for name in _OUTPUTS if hasattr(output, name))
    if isinstance(value, list):
        value = np.stack([np.asarray(one) for one in value])
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


_OUTPUTS = ("images", "frames", "audios", "prediction", "image_embeddings")


def words(n: int) -> list[str]:
    """Return n different prompts."""
    return [("red circle", "a blue square", "small green circle")[index % 3] for index in range(n)]


def noise(*shape: int, seed: int = 7) -> Tensor:
    """Return fixed random numbers, each row drawn from its own seed, so that rows do not depend on their number."""
    rows = [torch.randn(shape[1:], generator=torch.Generator().manual_seed(seed + index)) for index in range(shape[0])]
    return torch.stack(rows)


def picture(n: int, size: int = 16, seed: int = 3) -> Tensor:
    """Return n pictures with values between 0 and 1, (n, 3, size, size)."""
    return noise(n, 3, size, size, seed=seed).sigmoid()


def image_encoder() -> dict[str, Any]:
    """Return CLIP's image encoder at tiny size and what prepares pictures for it, as components of a pipeline."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    vision = CLIPVisionConfig(
        hidden_size=16,
        projection_dim=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    return {
        "image_encoder": CLIPVisionModelWithProjection(vision).eval(),
        "feature_extractor": CLIPImageProcessor(size=16, crop_size=16),
    }
