"""CLIP models of transformers: images and texts as vectors of one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line
from fdplug.scores.features import CLIP_MODEL
from fdplug.scores.features.extractor import full_precision
from fdplug.scores.features.loading import quiet_loading

if TYPE_CHECKING:
    from torch import Tensor


class Clip(nn.Module):
    """A CLIP model that answers with plain unit vectors, whatever version of transformers it comes from.

    Args:
        model: what `CLIPModel.from_pretrained` gave.
        processor: what `CLIPProcessor.from_pretrained` gave.
    """

    def __init__(self, model: Any, processor: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False).float()
        self.processor = processor
        self.longest = model.config.text_config.max_position_embeddings

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.model.parameters()).device

    def images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, d) of images (N, 3, H, W) uint8."""
        arrays = list(images.permute(0, 2, 3, 1).cpu().numpy())
        given = self.processor(images=arrays, return_tensors="pt").to(self.device)
        return _unit(self.model.get_image_features(pixel_values=given["pixel_values"]))

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (N, d) of texts; what is too long is cut."""
        cut = {"padding": True, "truncation": True, "max_length": self.longest}
        given = self.processor(text=list(texts), return_tensors="pt", **cut).to(self.device)
        return _unit(self.model.get_text_features(given["input_ids"], given["attention_mask"]))

    def cosines(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the cosine (N,) of each image and its text."""
        with torch.no_grad(), full_precision(self.device):
            return (self.images(images) * self.texts(texts)).sum(-1)


def _unit(output: Any) -> Tensor:
    """Unit vectors: transformers 5 wraps the embeddings, transformers 4 does not."""
    return nn.functional.normalize(getattr(output, "pooler_output", output), dim=-1)


@lru_cache(maxsize=2)
def load_clip(name: str = CLIP_MODEL, device: torch.device | str = "cpu", allow_pickle: bool = False) -> Clip:
    """A CLIP model and its processor, by hub id or folder; asked again, it gives the same one.

    Args:
        name: hub id or folder.
        device: where it runs.
        allow_pickle: also load `.bin` weights, which can run code.

    Raises:
        PipelineError: it cannot be loaded.
    """
    from transformers import CLIPModel, CLIPProcessor

    try:
        with quiet_loading():
            model = CLIPModel.from_pretrained(name, use_safetensors=None if allow_pickle else True)
            processor = CLIPProcessor.from_pretrained(name)
    except Exception as error:
        reason = one_line(error, 200)
        raise PipelineError(f"cannot load the CLIP model '{name}': {reason}; name another, or 'none'") from error
    return Clip(model, processor).to(device)
