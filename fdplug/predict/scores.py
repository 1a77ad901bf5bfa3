"""Scores of generated images: what every score can do, and the ones for real models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from fdplug.errors import ConfigError, PipelineError
from fdplug.metrics.distance import FrechetDistance
from fdplug.metrics.statistics import FeatureStatistics
from fdplug.predict.pipelines import quiet_loading

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.references import ReferenceImages

CLIP_MODEL = "openai/clip-vit-large-patch14"
BATCH = 32
Advance = Callable[[int], None]


def quietly(count: int) -> None:
    """Report no progress."""


class Score(nn.Module):
    """Something to compute over all generated images of a run.

    Attributes:
        labels: Key of each number -> how a table calls it.
    """

    labels: ClassVar[dict[str, str]]

    @abstractmethod
    def update(self, images: Tensor, captions: Sequence[Caption]) -> None:
        """Add a batch of images (N, 3, H, W) uint8 and their captions."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers, by key."""


class ClipScore(Score):
    """CLIP score: 100 x the mean cosine between image and caption, by torchmetrics.

    Args:
        clip: What `load_clip` returns; several scores may share one.
    """

    labels: ClassVar[dict[str, str]] = {"clip_score": "CLIP score"}

    def __init__(self, clip: tuple[nn.Module, Any]) -> None:
        super().__init__()
        from torchmetrics.multimodal import CLIPScore

        self.metric = CLIPScore(model_name_or_path=lambda: clip)

    def update(self, images: Tensor, captions: Sequence[Caption]) -> None:
        """Add a batch."""
        with torch.no_grad():
            self.metric.update(images.to(self.metric.device), [caption.text for caption in captions])

    def compute(self) -> dict[str, float]:
        """The mean over all images."""
        return {"clip_score": float(self.metric.compute())}


class Fid(Score):
    """FID: Frechet distance of Inception-v3 features to those of the reference images."""

    labels: ClassVar[dict[str, str]] = {"fid": "FID"}

    def __init__(self, inception: Callable[[Tensor], Tensor], reference: FeatureStatistics) -> None:
        super().__init__()
        self.inception = inception
        self.distance = FrechetDistance(reference)

    def update(self, images: Tensor, captions: Sequence[Caption]) -> None:
        """Add a batch."""
        with torch.no_grad():
            self.distance.update(self.inception(images.to(self.distance.generated.device)))

    def compute(self) -> dict[str, float]:
        """The distance over all images."""
        return {"fid": self.distance.compute()}


class _Clip(nn.Module):
    """A CLIP model that answers with plain tensors: transformers 5 wraps them, torchmetrics expects them bare."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_image_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """Image embeddings (N, d)."""
        output = self.model.get_image_features(*args, **kwargs)
        return getattr(output, "pooler_output", output)

    def get_text_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """Text embeddings (N, d)."""
        output = self.model.get_text_features(*args, **kwargs)
        return getattr(output, "pooler_output", output)


def load_clip(name: str = CLIP_MODEL) -> tuple[nn.Module, Any]:
    """A CLIP model and its processor, by hub id or folder; safetensors only.

    Raises:
        PipelineError: It cannot be loaded.
    """
    from transformers import CLIPModel, CLIPProcessor

    try:
        with quiet_loading():
            model = CLIPModel.from_pretrained(name, use_safetensors=True).eval()
            processor = CLIPProcessor.from_pretrained(name)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(f"cannot load the CLIP model '{name}': {reason}; name another, or 'none'.") from error
    longest = model.config.text_config.max_position_embeddings

    def process(**given: Any) -> Any:
        cut = {"truncation": True, "max_length": longest} if given.get("text") is not None else {}
        return processor(**given, **cut)

    return _Clip(model), process


def check_fid() -> None:
    """Refuse FID where the packages it needs are not installed.

    Raises:
        ConfigError: Names what to install.
    """
    missing = [name for name in ("torch-fidelity", "torchvision") if find_spec(name.replace("-", "_")) is None]
    if missing:
        raise ConfigError(
            f"FID needs {' and '.join(missing)}: pip install 'fdplug[fid]' (torchvision from torch's index)."
        )


def load_inception() -> nn.Module:
    """The Inception-v3 of FID, (N, 3, H, W) uint8 -> (N, 2048), as torchmetrics loads it.

    Raises:
        ConfigError: An extra package is missing.
        PipelineError: Its weights cannot be loaded.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    check_fid()
    try:
        return FrechetInceptionDistance(feature=2048).inception
    except (ImportError, OSError, RuntimeError) as error:
        raise PipelineError(f"cannot load FID's Inception-v3: {' '.join(str(error).split())[:200]}") from error


def load_fid(
    references: ReferenceImages,
    device: torch.device | str = "cpu",
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
) -> Fid:
    """FID against real images, centre-cropped and resized to `size` (Inception's own if None)."""
    inception = load_inception().to(device)
    statistics = reference_statistics(
        lambda images: inception(images.to(device)), references, size or (299, 299), advance
    )
    return Fid(inception, statistics)


def reference_statistics(
    embed: Callable[[Tensor], Tensor],
    references: ReferenceImages,
    size: tuple[int, int] | None = None,
    advance: Advance = quietly,
) -> FeatureStatistics:
    """Feature statistics of real images.

    Args:
        embed: (N, 3, H, W) uint8 -> (N, d).
        references: The real images.
        size: Height and width they are cropped and resized to; None takes that of the first.
        advance: Called with the number of images just read.
    """
    statistics = None
    for start in range(0, len(references), BATCH):
        stop = min(start + BATCH, len(references))
        pixels = [torch.tensor(references.read(index, size)) for index in range(start, stop)]
        with torch.no_grad():
            features = embed(torch.stack(pixels).permute(0, 3, 1, 2).contiguous())
        statistics = statistics or FeatureStatistics(features.shape[1])
        statistics.update(features.cpu())
        advance(stop - start)
    if statistics is None:
        raise ConfigError("no reference images to compare with.")
    return statistics
