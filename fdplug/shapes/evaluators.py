"""The trained evaluators of `shapes`: an image/text embedding and a semantic check.

Their scores are analogues, comparable only with each other; they are not the CLIP score or FID of any real model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from fdplug.shapes import evaluators_folder, pipeline_folder
from fdplug.shapes.captions import parse_caption
from fdplug.shapes.drawing import SIZE
from fdplug.shapes.labels import CLASSES, agreement, labels
from fdplug.shapes.tokenizer import load_tokenizer
from fdplug.shapes.towers import Classifier, Embedder

BATCH = 256
FIRST_OBJECT = ("background", "fill1", "colour1", "shape1")
"""What tells one class of pictures from another."""


class Evaluators:
    """Judges pictures of `shapes`; build it with `load`.

    Pictures are always float tensors (N, 3, 64, 64) in [0, 1]; results come back on the CPU.
    """

    def __init__(
        self, classifier: Classifier, embedder: Embedder, tokenizer: CLIPTokenizer, device: torch.device | str
    ) -> None:
        self.classifier = classifier.to(device).eval().requires_grad_(False)
        self.embedder = embedder.to(device).eval().requires_grad_(False)
        self.tokenizer, self.device = tokenizer, device

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, 64) of `images`, float32.

        Raises:
            ValueError: if `images` is not (N, 3, 64, 64) floating point.
        """
        _check(images)
        parts = [self.embedder.embed_images(part.to(self.device).float()).cpu() for part in images.split(BATCH)]
        return torch.cat(parts)

    @torch.inference_mode()
    def perceptual_distance(self, images: Tensor, others: Tensor) -> Tensor:
        """Distance (N,) of each picture to another in the layers of the embedding: an analogue of LPIPS, 0 to 4.

        At each place of a layer both vectors are brought to length 1, and their squared distance is averaged over the
        places, then over the layers.
        """
        _check_count(images, others)
        parts = zip(images.split(BATCH), others.split(BATCH), strict=True)
        return torch.cat([self._distance(one, other) for one, other in parts])

    def _distance(self, images: Tensor, others: Tensor) -> Tensor:
        tower = self.embedder.image_tower
        pairs = zip(*(tower.layers(part.to(self.device).float()) for part in (images, others)), strict=True)
        normal = nn.functional.normalize
        each = [(normal(one) - normal(other)).square().sum(1).mean((1, 2)) for one, other in pairs]
        return torch.stack(each).mean(0).cpu()

    @torch.inference_mode()
    def embed_texts(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors (N, 64) of `captions`, float32."""
        encoded = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        return self.embedder.embed_tokens(encoded.input_ids.to(self.device)).cpu()

    def clip_score(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Cosine (N,) between each picture and its caption: the analogue of a CLIP score.

        Raises:
            ValueError: if there are not as many captions as pictures.
        """
        _check_count(images, captions)
        return (self.embed_images(images) * self.embed_texts(captions)).sum(dim=-1)

    @torch.inference_mode()
    def class_logits(self, images: Tensor) -> Tensor:
        """Logarithms (N, 960) of how likely each class is: background, and fill, colour and shape of the first object.

        The classes are those of `FIRST_OBJECT` in the order of nested loops, the last one the fastest.
        """
        _check(images)
        parts = [self.classifier(part.to(self.device).float()) for part in images.split(BATCH)]
        found = torch.zeros(len(images), 1)
        for head in FIRST_OBJECT:
            each = torch.cat([part[head].log_softmax(-1).cpu() for part in parts])
            found = (found[:, :, None] + each[:, None]).flatten(1)
        return found

    @torch.inference_mode()
    def semantics(self, images: Tensor, captions: Sequence[str]) -> dict[str, Tensor]:
        """Whether each picture shows what its caption demands.

        Returns:
            Bool tensors (N,) under ``layout``, ``background``, ``size``, ``fill``, ``colour``, ``shape`` and ``all``.
            Objects are compared place by place, so two swapped objects are errors of their attributes; ``all`` is the
            exact match of every attribute and of the relation.

        Raises:
            ValueError: if a picture has another size, a caption is outside the grammar, or their numbers differ.
        """
        _check_count(images, captions)
        wanted = labels([parse_caption(caption) for caption in captions])
        parts = [self.classifier(part.to(self.device).float()) for part in images.split(BATCH)]
        answers = {head: torch.cat([part[head].argmax(-1).cpu() for part in parts]) for head in CLASSES}
        return agreement(answers, wanted)


def load(device: torch.device | str = "cpu", folder: Path | None = None) -> Evaluators:
    """Load the evaluators of the package, or those that a training run exported to `folder`."""
    folder = evaluators_folder() if folder is None else folder
    tokenizer = load_tokenizer(pipeline_folder() / "tokenizer")
    classifier, embedder = Classifier(), Embedder(len(tokenizer))
    _fill(classifier, folder / "classifier.safetensors")
    _fill(embedder, folder / "embedding.safetensors")
    return Evaluators(classifier, embedder, tokenizer, device)


def _fill(module: nn.Module, path: Path) -> None:
    weights = {name: value.float() for name, value in load_file(path).items()}
    module.load_state_dict(weights, strict=False)


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE) or not images.is_floating_point():
        wanted = f"floating-point images of shape (N, 3, {SIZE}, {SIZE}) in [0, 1]"
        raise ValueError(f"the shapes evaluators take {wanted}, not {images.dtype} of shape {tuple(images.shape)}")


def _check_count(images: Tensor, beside: Sequence[str] | Tensor) -> None:
    _check(images)
    what = "captions"
    if isinstance(beside, Tensor):
        _check(beside)
        what = "others"
    if len(images) != len(beside):
        raise ValueError(f"{len(images)} images but {len(beside)} {what}")
