"""Scores during `predict`, as Lightning callbacks.

They live here and not in the module, whose submodules are cast to its precision. Every rank adds up its own images; the
sums, and where there are no sums the features, are put together at the end, so that a score does not depend on the
number of processes.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from fdplug.errors import ConfigError, DataError, warn
from fdplug.metrics.clip import CLIP_MODEL, load_clip
from fdplug.metrics.extractor import INCEPTION, SHAPES
from fdplug.metrics.extractors import load_extractor
from fdplug.metrics.factory import Models, score_maker
from fdplug.metrics.fidelity import Fidelity, PerceptualDistance, load_lpips
from fdplug.metrics.ftc import ftc
from fdplug.metrics.images import read_image
from fdplug.metrics.reference import Reference
from fdplug.predict.generation.conditioning import drawn_size
from fdplug.predict.lightning.callbacks.base import LogNumbers

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.metrics.score import Score
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.lightning.prediction import Prediction


class LogScore(LogNumbers):
    """Base of the callbacks around one `Score`."""

    name: str
    score: Score

    def models(self, trainer: Any) -> Models:
        """The networks it needs."""
        return Models(device=trainer.strategy.root_device)

    @abstractmethod
    def load(self, trainer: Any) -> None:
        """Refuse what cannot be computed, and load the networks, before the pipeline is loaded."""

    def reference(self, trainer: Any, pl_module: Any) -> Reference | None:
        """The real images, if the score needs some."""
        return None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before the pipeline is loaded what cannot be computed."""
        self.models(trainer).check((self.name,))
        self.load(trainer)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count, on the device of this rank."""
        super().on_predict_start(trainer, pl_module)
        self.score = score_maker(self.name, self.models(trainer), self.reference(trainer, pl_module))()

    def update(self, prediction: Prediction) -> None:
        """Take a batch of images."""
        self.score.update(prediction.images, prediction.captions)

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The score over all ranks."""
        return self.score.compute()


class LogShapesScores(LogScore):
    """shapes-FD, shapes-CLIP and semantic accuracy of the embedded model; not comparable with FID and CLIP score."""

    name = "shapes"

    def load(self, trainer: Any) -> None:
        """Check the captions and load the evaluators."""
        from fdplug.metrics.shapes import check_captions

        check_captions(trainer.datamodule.captions)
        load_extractor(SHAPES, trainer.strategy.root_device)

    def reference(self, trainer: Any, pl_module: Any) -> Reference:
        """The drawn scenes."""
        return Reference(trainer.datamodule.references(), share=_share(trainer))


class LogClipScore(LogScore):
    """CLIP score.

    Args:
        model: hub id or folder of a CLIP model; scores of different models cannot be compared.
        allow_pickle: also load `.bin` weights, which can run code.
    """

    name = "clip"

    def __init__(self, model: str = CLIP_MODEL, allow_pickle: bool = False) -> None:
        super().__init__()
        self.model, self.allow_pickle = model, allow_pickle

    def models(self, trainer: Any) -> Models:
        """The CLIP model."""
        return Models(clip=self.model, allow_pickle=self.allow_pickle, device=trainer.strategy.root_device)

    def load(self, trainer: Any) -> None:
        """Load the CLIP model."""
        load_clip(self.model, trainer.strategy.root_device, self.allow_pickle)


class LogFeatures(LogScore):
    """Base of the scores that are made of an extractor's features.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers vision model.
        allow_pickle: also read weights that are no safetensors.
    """

    def __init__(self, extractor: str = INCEPTION, allow_pickle: bool = False) -> None:
        super().__init__()
        self.extractor, self.allow_pickle = extractor, allow_pickle

    def models(self, trainer: Any) -> Models:
        """The extractor."""
        device = trainer.strategy.root_device
        return Models(extractor=self.extractor, allow_pickle=self.allow_pickle, device=device)

    def load(self, trainer: Any) -> None:
        """Load the extractor."""
        load_extractor(self.extractor, trainer.strategy.root_device, self.allow_pickle)


class LogInceptionScore(LogFeatures):
    """Inception score, over all images at once; the extractor has to tell classes."""

    name = "is"


class LogCompared(LogFeatures):
    """Base of the scores that compare with real images.

    Args:
        reference: a folder of real images, or for FID a file of their statistics; the data module's own images if left
            out.
        extractor: see `LogFeatures`.
        size: real images are cropped and resized to this height and width; those of the generated images if left out.
        allow_pickle: also read weights that are no safetensors.
    """

    def __init__(
        self,
        reference: str | None = None,
        extractor: str = INCEPTION,
        size: int | None = None,
        allow_pickle: bool = False,
    ) -> None:
        super().__init__(extractor, allow_pickle)
        self.given, self.size = reference, size

    def load(self, trainer: Any) -> None:
        """Find the real images and load the extractor."""
        Reference(self.given or trainer.datamodule.references())
        super().load(trainer)

    def reference(self, trainer: Any, pl_module: Any) -> Reference:
        """The real images, a share of them on each rank."""
        size = drawn_size(pl_module.pipe, self.size or pl_module.generation.size)
        return Reference(self.given or trainer.datamodule.references(), size, share=_share(trainer))


class LogFid(LogCompared):
    """FID; `inception`, its own extractor, needs `pip install 'fdplug[fid]'`."""

    name = "fid"


class LogPrecisionRecall(LogCompared):
    """Improved precision and recall, with 3 neighbours."""

    name = "pr"


class LogPairs(LogNumbers):
    """Base of what compares each image with the one that an earlier run drew of the same caption.

    Args:
        baseline: the folder of that run, with one PNG per image id.
    """

    measure: Any

    def __init__(self, baseline: str) -> None:
        super().__init__()
        self.baseline = Path(baseline)

    @abstractmethod
    def make(self, device: torch.device | str) -> Any:
        """What compares batches of images."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before any model is loaded that an image is missing."""
        if not self.baseline.is_dir():
            raise ConfigError(
                f"the baseline folder {self.baseline} does not exist; predict un-accelerated images first"
            )
        for caption in trainer.datamodule.captions:
            if not (self.baseline / caption.output_name).is_file():
                raise DataError(f"{self.baseline} has no {caption.output_name}; draw the same captions there first")
        home = Models(device=trainer.strategy.root_device).home
        self.measure = self.make(home).to(home)

    def update(self, prediction: Prediction) -> None:
        baseline = torch.stack([self._read(caption) for caption in prediction.captions])
        if baseline.shape != prediction.images.shape:
            raise DataError(f"{self.baseline} holds images of another size: {tuple(baseline.shape[2:])}")
        self.measure.update(prediction.images, baseline)

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The numbers over all ranks."""
        return self.measure.compute()

    def _read(self, caption: Caption) -> Tensor:
        return torch.tensor(read_image(self.baseline / caption.output_name)).permute(2, 0, 1)


class LogFidelity(LogPairs):
    """PSNR and SSIM to the un-accelerated images that an earlier run wrote."""

    def make(self, device: torch.device | str) -> Fidelity:
        """PSNR and SSIM."""
        return Fidelity()


class LogLpips(LogPairs):
    """LPIPS to the un-accelerated images that an earlier run wrote; needs torchvision.

    Args:
        baseline: the folder of that run, with one PNG per image id.
        net: `alex`, `vgg` or `squeeze`.
    """

    def __init__(self, baseline: str, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        super().__init__(baseline)
        self.net = net

    def make(self, device: torch.device | str) -> PerceptualDistance:
        """Load LPIPS."""
        return PerceptualDistance(load_lpips(self.net, device))


class LogFtc(LogNumbers):
    """FTC of the Faster Diffusion paper, FID x seconds per image / CLIP score, of what the other callbacks measured."""

    NEEDED = ("fid", "seconds_per_image", "clip_score")

    def update(self, prediction: Prediction) -> None:
        """Leave batches alone: the number is not made of them."""

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The others are not all done yet."""
        return {}

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the numbers of the other callbacks together."""
        others = [callback.values for callback in trainer.callbacks if isinstance(callback, LogNumbers)]
        found = {key: value for values in others for key, value in values.items() if key in self.NEEDED}
        missing = [key for key in self.NEEDED if key not in found]
        if missing or found["clip_score"] <= 0:
            lack = ", ".join(missing) or "a positive clip_score"
            warn(f"no FTC without {lack}; add LogFid and LogClipScore")
            return
        self.values = {"ftc": ftc(found["fid"], found["seconds_per_image"], found["clip_score"])}
        self.publish(trainer)


def _share(trainer: Any) -> tuple[int, int]:
    return trainer.global_rank, trainer.world_size
