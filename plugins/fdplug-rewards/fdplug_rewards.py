"""Scores trained on what people prefer: CLIP models of transformers, fine-tuned on pairs of images that people judged.

All of them say `exp(logit scale) * cos(image, caption)`: the difference of two images of one caption is the logit of
the probability that people prefer the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import fdplug
from fdplug.errors import ConfigError, PipelineError
from fdplug.errors.wording import one_line
from fdplug.scores import CAPTIONS, Batch, MeanScore, Number, Score

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FDPLUG_CONTRACT = "1.1"
PICKSCORE = "yuvalkirstain/PickScore_v1"
LAION = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


class Reward(MeanScore):
    """Base: a fine-tuned CLIP model, and the processor that it was trained with."""

    needs = frozenset({CAPTIONS})

    def __init__(self, model: str, processor: str | None) -> None:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model must be the hub id or folder of a CLIP model, got {model!r}")
        self.model, self.processor = model, processor or model

    def load(self, device: torch.device | str) -> None:
        """Load model and processor; several sets of images share them."""
        self.device = device
        self.clip, self.prepare = load_clip(self.model, self.processor, str(device))

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the reward of each image and its caption."""
        import torch

        with torch.no_grad(), torch.autocast(torch.device(self.device).type, enabled=False):
            images, texts = self._images(batch.images), self._texts(batch.texts)
            return {self.numbers[0].key: self.clip.logit_scale.exp() * (images * texts).sum(-1)}

    def _images(self, images: Tensor) -> Tensor:
        arrays = list(images.permute(0, 2, 3, 1).cpu().numpy())
        given = self.prepare(images=arrays, return_tensors="pt").to(self.device)
        return _unit(self.clip.get_image_features(pixel_values=given["pixel_values"]))

    def _texts(self, texts: Sequence[str]) -> Tensor:
        longest = self.clip.config.text_config.max_position_embeddings
        cut = {"padding": True, "truncation": True, "max_length": longest}
        given = self.prepare(text=list(texts), return_tensors="pt", **cut).to(self.device)
        return _unit(self.clip.get_text_features(given["input_ids"], given["attention_mask"]))


class PickScore(Reward):
    """PickScore (Kirstain et al. 2023, arXiv 2305.01569): CLIP-H, trained on half a million choices of users.

    Args:
        model: hub id or folder of the model, in safetensors.
        processor: hub id or folder of its processor; None: it lies beside the model.
    """

    name = "pickscore"
    numbers = (Number("pick_score", "PickScore", higher_is_better=True, digits=2),)

    def __init__(self, model: str = PICKSCORE, processor: str | None = LAION) -> None:
        super().__init__(model, processor)


class Hps(Reward):
    """Human preference score (Wu et al. 2023, arXiv 2306.09341): a CLIP model trained on rankings of images.

    Args:
        model: hub id or folder of the model in the form of transformers, in safetensors.
        processor: hub id or folder of its processor; None: it lies beside the model.
    """

    name = "hps"
    numbers = (Number("hps", "HPS", higher_is_better=True, digits=2),)

    def __init__(self, model: str, processor: str | None = None) -> None:
        super().__init__(model, processor)


def _unit(output: Any) -> Tensor:
    """Return unit vectors: transformers 5 wraps the embeddings, transformers 4 does not."""
    from torch.nn.functional import normalize

    return normalize(getattr(output, "pooler_output", output).float(), dim=-1)


@lru_cache(maxsize=4)
def load_clip(model: str, processor: str, device: str) -> tuple[Any, Any]:
    """Return a CLIP model in float32 and a processor; only safetensors are read, and no code is run.

    Raises:
        PipelineError: one of them cannot be loaded.
    """
    from transformers import CLIPModel, CLIPProcessor

    try:
        network = CLIPModel.from_pretrained(model, use_safetensors=True)
        prepare = CLIPProcessor.from_pretrained(processor)
    except Exception as error:  # transformers and the hub raise what they like
        reason = one_line(error, 200)
        raise PipelineError(f"cannot load the reward model '{model}': {reason}; name a folder with `model`") from error
    return network.eval().requires_grad_(False).float().to(device), prepare


@fdplug.hookimpl
def fdplug_scores() -> Iterator[type[Score]]:
    """Yield the scores."""
    yield from (PickScore, Hps)
