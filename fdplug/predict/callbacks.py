"""Scores during `predict`, as Lightning callbacks.

The metrics live here and not in the module, whose submodules are cast to its precision. Each callback logs its numbers
to the trainer's logger when the last image is done, and keeps them in `values`.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.captions import Caption
    from fdplug.predict.module import Prediction


class LogNumbers(Callback):
    """Base: take every batch, and log some numbers at the end."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    @abstractmethod
    def update(self, prediction: Prediction) -> None:
        """Take a batch."""

    @abstractmethod
    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The numbers over all batches."""

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        """Pass a batch on."""
        self.update(outputs)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute on every rank, log on the first."""
        self.values = self.compute(trainer, pl_module)
        if trainer.is_global_zero and trainer.logger is not None:
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


class LogCosts(LogNumbers):
    """Seconds per image, of the denoiser and in all; GFLOPs per image and key steps if features were propagated.

    The first batch is left out of the seconds if there are others.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forget an earlier run."""
        self._batches: list[tuple[int, float, float]] = []

    def update(self, prediction: Prediction) -> None:
        """Take a batch."""
        self._batches.append((len(prediction.captions), prediction.seconds, prediction.denoiser_seconds))

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The costs on this rank."""
        counted = self._batches[1:] or self._batches
        images = sum(count for count, _, _ in counted)
        values = {
            "seconds_per_image": sum(seconds for _, seconds, _ in counted) / images,
            "denoiser_seconds_per_image": sum(seconds for _, _, seconds in counted) / images,
        }
        if pl_module.ledger is not None:
            values["gflops_per_image"] = pl_module.ledger.gflops() / self._batches[-1][0]
            values["key_steps"] = len(pl_module.ledger.key_steps)
        return values
