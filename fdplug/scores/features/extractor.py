"""Networks that make features of images: the base, and the way to load one by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fdplug.errors import ConfigError
from fdplug.profiling.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Extractor(nn.Module):
    """8-bit images to features; float32 on its own device, whatever precision is switched on around it.

    Several scores may share one: what was made of the last batch is kept.

    Attributes:
        kind: what sort of network it is.
        width: number of features, d.
        num_classes: how many classes it tells apart, K; 0 if none.
    """

    kind: str
    width: int
    num_classes: int = 0

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False).float()
        self._last: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def name(self) -> str:
        """Kind and a short hash of the weights: equal where features may be compared."""
        return f"{self.kind}-{fingerprint(self.network)[:8]}"

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.network.parameters()).device

    def features(self, images: Tensor) -> Tensor:
        """Features (N, d) float32 of images (N, 3, H, W) uint8."""
        return self._made("features", images, self.embed)

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities (N, K) of the classes, float64.

        Raises:
            ConfigError: it tells no classes.
        """
        check_classes(self)
        return self._made("logits", images, self.logits).double().softmax(-1)

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, 3, H, W) uint8 on its own device."""

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) of the classes, for images (N, 3, H, W) uint8 on its own device."""
        raise NotImplementedError

    def _made(self, what: str, images: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        last = self._last.get(what)
        if last is None or last[0] is not images:
            with torch.inference_mode(), full_precision(self.device):
                last = (images, make(images.to(self.device)).float())
            self._last[what] = last
        return last[1].clone()


def check_classes(extractor: Extractor) -> None:
    """Refuse an extractor that tells no classes."""
    if not extractor.num_classes:
        kind = extractor.kind
        raise ConfigError(f"the extractor '{kind}' tells no classes; take inception, or an image classifier")


def full_precision(device: torch.device | str) -> AbstractContextManager[object]:
    """Return autocast switched off, so that a score is the same whatever precision the images were generated in."""
    return torch.autocast(torch.device(device).type, enabled=False)
