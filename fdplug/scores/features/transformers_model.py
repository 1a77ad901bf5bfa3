"""Any vision model of transformers as an extractor: CLIP, DINOv2, ViT, ResNet, ... with or without classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line
from fdplug.scores.features.extractor import Extractor
from fdplug.scores.features.loading import quiet_loading

if TYPE_CHECKING:
    from torch import Tensor


class VisionModel(Extractor):
    """Pooled features of a transformers model, and its classes if it is an image classifier.

    Args:
        model: what `AutoModel` or `AutoModelForImageClassification` gave.
        processor: what `AutoImageProcessor` gave.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model)
        self.processor = processor
        self.kind = type(model).__name__
        self.num_classes = model.config.num_labels if self.kind.endswith("ForImageClassification") else 0
        self.width = self.features(torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)).shape[1]

    def embed(self, images: Tensor) -> Tensor:
        """CLIP's image embedding; elsewhere the pooled output, or the mean over positions where there is none."""
        model: Any = self.network
        pixels = self._pixels(images)
        if hasattr(model, "get_image_features"):
            output = model.get_image_features(pixel_values=pixels)
        else:
            output = (model.base_model if self.num_classes else model)(pixel_values=pixels)
        return _pooled(output)

    def logits(self, images: Tensor) -> Tensor:
        model: Any = self.network
        return model(pixel_values=self._pixels(images)).logits

    def _pixels(self, images: Tensor) -> Tensor:
        arrays = list(images.permute(0, 2, 3, 1).cpu().numpy())
        return self.processor(images=arrays, return_tensors="pt")["pixel_values"].to(self.device)


def load_vision_model(name: str, allow_pickle: bool = False) -> VisionModel:
    """A vision model and its processor, by hub id or folder; code that comes with it is never run.

    Args:
        name: hub id or folder.
        allow_pickle: also load `.bin` weights, which can run code.

    Raises:
        PipelineError: it cannot be loaded, or is no vision model.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification

    safe = {"use_safetensors": None if allow_pickle else True, "trust_remote_code": False}
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
            tells = any("ForImageClassification" in one for one in config.architectures or ())
            model = (AutoModelForImageClassification if tells else AutoModel).from_pretrained(name, **safe)
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        return VisionModel(model, processor)
    except Exception as error:
        reason = one_line(error, 200)
        raise PipelineError(f"cannot load the vision model '{name}': {reason}") from error


def _pooled(output: Any) -> Tensor:
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        pooled = output if not hasattr(output, "last_hidden_state") else output.last_hidden_state.mean(1)
    return pooled.flatten(1)
