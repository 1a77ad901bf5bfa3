"""Scores during `predict`, as Lightning callbacks.

The metrics live here and not in the module, whose submodules are cast to its precision. Each callback logs its numbers
to the trainer's logger when the last image is done, and keeps them in `values`.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image

from fdplug.errors import ConfigError, DataError
from fdplug.predict import scores, shapes_scores
from fdplug.predict.fidelity import Fidelity
from fdplug.predict.launch import over_ranks

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.prediction import Prediction


class LogNumbers(Callback):
    """Base: take every batch, and log some numbers at the end.

    A process may get no image at all, if there are few of them or if they hold no numbers.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.images = 0

    @abstractmethod
    def update(self, prediction: Prediction) -> None:
        """Take a batch with at least one image."""

    @abstractmethod
    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The numbers over all batches of all processes, of which one at least has had an image."""

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count."""
        self.images = 0

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        """Pass a batch on."""
        if outputs.captions:
            self.images += len(outputs.captions)
            self.update(outputs)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute on every rank, log on the first."""
        images = over_ranks(trainer, self.images)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*``compute`` method of metric .* was called before")
            self.values = self.compute(trainer, pl_module) if images else {}
        if trainer.is_global_zero and trainer.logger is not None and self.values:
            trainer.logger.log_metrics(self.values)
            trainer.logger.save()


class LogScore(LogNumbers):
    """Base of the callbacks around one `Score`."""

    score: scores.Score

    @abstractmethod
    def build(self, trainer: Any) -> scores.Score:
        """Load what the score needs; called before the pipeline is loaded."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Load the score onto the device of this rank."""
        device = trainer.strategy.root_device
        self.score = self.build(trainer).to("cpu" if device.type == "mps" else device)

    def update(self, prediction: Prediction) -> None:
        """Take a batch."""
        self.score.update(prediction.images, prediction.captions)

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The score over all ranks."""
        return self.score.compute()


class LogShapesScores(LogScore):
    """shapes-FD, shapes-CLIP and semantic accuracy of the embedded model; not comparable with FID and CLIP score."""

    def build(self, trainer: Any) -> scores.Score:
        """Load the evaluators and embed the drawn scenes."""
        shapes_scores.check_captions(trainer.datamodule.captions)
        return shapes_scores.load(trainer.datamodule.references(), trainer.strategy.root_device)


class LogClipScore(LogScore):
    """CLIP score.

    Args:
        model: Hub id or folder of a CLIP model; scores of different models cannot be compared.
    """

    def __init__(self, model: str = scores.CLIP_MODEL) -> None:
        super().__init__()
        self.model = model

    def build(self, trainer: Any) -> scores.Score:
        """Load the CLIP model."""
        return scores.ClipScore(scores.load_clip(self.model))


class LogFid(LogScore):
    """FID to the real images of the data module; needs `pip install 'fdplug[fid]'`."""

    def build(self, trainer: Any) -> scores.Score:
        """Load Inception-v3 and run it over the real images."""
        references = trainer.datamodule.references()
        return scores.load_fid(references, trainer.strategy.root_device)


class LogFidelity(LogNumbers):
    """PSNR and SSIM to the un-accelerated images that an earlier run wrote.

    Args:
        baseline: The folder of that run, with one PNG per image id.
    """

    def __init__(self, baseline: str) -> None:
        super().__init__()
        self.baseline = Path(baseline)
        self.fidelity = Fidelity()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before any model is loaded that an image is missing."""
        if not self.baseline.is_dir():
            raise ConfigError(
                f"the baseline folder {self.baseline} does not exist; predict un-accelerated images first."
            )
        for caption in trainer.datamodule.captions:
            if not (self.baseline / caption.output_name).is_file():
                raise DataError(f"{self.baseline} has no {caption.output_name}; draw the same captions there first.")
        self.fidelity = Fidelity().to(
            "cpu" if trainer.strategy.root_device.type == "mps" else trainer.strategy.root_device
        )

    def update(self, prediction: Prediction) -> None:
        """Take a batch."""
        baseline = torch.stack([self._read(caption) for caption in prediction.captions])
        if baseline.shape != prediction.images.shape:
            raise DataError(f"{self.baseline} holds images of another size: {tuple(baseline.shape[2:])}.")
        self.fidelity.update(prediction.images, baseline)

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """PSNR and SSIM over all ranks."""
        return self.fidelity.compute()

    def _read(self, caption: Caption) -> Tensor:
        with Image.open(self.baseline / caption.output_name) as image:
            return torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1)
