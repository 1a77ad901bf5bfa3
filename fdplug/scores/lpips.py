"""LPIPS (Zhang et al. 2018): how far images look from the un-accelerated ones of the same captions and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from fdplug import checks
from fdplug.errors import PipelineError
from fdplug.errors.wording import one_line
from fdplug.scores.base import BASELINE, Batch, Captioned, MeanScore, Number
from fdplug.scores.psnr import PEAK

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NETS = ("alex", "vgg", "squeeze")


class Lpips(MeanScore):
    """LPIPS (Zhang et al., arXiv 1801.03924) to the un-accelerated images, by torchmetrics; needs torchvision.

    Args:
        net: `alex`, `vgg` or `squeeze`.
    """

    name = "lpips"
    numbers = (Number("lpips", "LPIPS", higher_is_better=False, digits=4),)
    needs = frozenset({BASELINE})

    def __init__(self, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        checks.choice("net", net, NETS)
        self.net: Literal["alex", "vgg", "squeeze"] = net

    def check(self, captions: Sequence[Captioned]) -> None:
        """Refuse to go on without torchvision."""
        checks.installed("LPIPS", "fid", "torchvision", otherwise=" (torchvision from torch's index)")

    def load(self, device: torch.device | str) -> None:
        """Load the network."""
        self.device, self.network = device, load_lpips(self.net, device)

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distance of each pair."""
        import torch

        from fdplug.scores.features.extractor import full_precision

        first, second = (one.to(self.device).float() / PEAK for one in batch.pairs())
        with torch.no_grad(), full_precision(self.device):
            self.network.update(first, second)
            found = self.network.compute().flatten()
            self.network.reset()
        return {"lpips": found}


@lru_cache(maxsize=2)
def load_lpips(net: Literal["alex", "vgg", "squeeze"] = "alex", device: torch.device | str = "cpu") -> Any:
    """Return LPIPS's network; torchvision downloads the weights once.

    Raises:
        PipelineError: the weights cannot be loaded.
    """
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        options: Any = {"reduction": "none", "normalize": True, "sync_on_compute": False, "compute_with_cache": False}
        metric = LearnedPerceptualImagePatchSimilarity(net, **options)
    except Exception as error:  # torchvision, torch.hub and urllib raise what they like
        raise PipelineError(f"cannot load LPIPS ({net}): {one_line(error, 200)}; leave the score out") from error
    return metric.to(device)
