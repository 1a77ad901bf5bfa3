"""Scores during `predict`, as a Lightning callback that takes any of them.

They live here and not in the module, whose submodules are cast to its precision. Every rank adds up its own images; the
sums, and where there are no sums the features, are put together at the end, so that a score does not depend on the
number of processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fdplug import registry
from fdplug.errors import ConfigError, DataError
from fdplug.files.source import Source
from fdplug.predict.generation.conditioning import image_size
from fdplug.predict.generation.media import kind_of
from fdplug.predict.lightning.callbacks.base import LogNumbers
from fdplug.predict.storage.coding import decode
from fdplug.predict.storage.manifest import MOST
from fdplug.scores import BASELINE, Batch
from fdplug.scores.features.reference import Reference
from fdplug.scores.score_set import ScoreSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fdplug.predict.data.captions import Caption
    from fdplug.predict.lightning.prediction import Prediction


class LogScores(LogNumbers):
    """Any scores; `fdplug plugins --kind score` lists them.

    Args:
        scores: names, or mappings {name: {option: value}}.
        reference: a folder of real images, or for FID a file of their statistics; the data module's own images if left
            out.
        size: real images are cropped and resized to this height and width; those of the generated images if left out.
        baseline: the folder of an un-accelerated run, with one PNG per image id, for scores that compare with it.

    Raises:
        ConfigError: there is no such score, an option is impossible, or the baseline is missing.
    """

    running: ScoreSet

    def __init__(
        self,
        scores: list[str | dict[str, Any]],
        reference: str | None = None,
        size: int | None = None,
        baseline: str | None = None,
    ) -> None:
        super().__init__()
        self.scores = ScoreSet([registry.build("score", spec) for spec in scores])
        self.given, self.size = reference, size
        self.baseline = None if baseline is None else Path(baseline)
        if self.scores.need(BASELINE) and baseline is None:
            names = " and ".join(self.scores.need(BASELINE))
            raise ConfigError(f"{names}: give a `baseline`, the folder of un-accelerated images of the same captions")

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out what cannot be computed, and load the networks, before the pipeline is loaded."""
        captions = trainer.datamodule.captions
        self.scores.check(captions)
        if self.baseline is not None:
            _check_baseline(self.baseline, captions)
        if self.scores.comparing:
            Reference(self.given or trainer.datamodule.references())
        self.scores.load(trainer.strategy.root_device)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count.

        Raises:
            ConfigError: a score cannot be computed of what the pipeline makes.
        """
        super().on_predict_start(trainer, pl_module)
        self.scores.check_media(kind_of(pl_module.pipe))
        self.running = self.scores.begun(self._reference(trainer, pl_module) if self.scores.comparing else None)

    def update(self, prediction: Prediction) -> None:
        """Take a batch of images."""
        baseline = None if self.baseline is None else self._counterparts(self.baseline, prediction)
        self.running.update(Batch(prediction.images, prediction.captions, baseline))

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """The scores over all ranks."""
        return self.running.compute()

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Add what is made of the numbers of all callbacks, now that these are known."""
        others = [callback.values for callback in trainer.callbacks if isinstance(callback, LogNumbers)]
        combined = self.running.combine({key: value for values in others for key, value in values.items()})
        self.publish(trainer, combined)
        self.values |= combined

    def _reference(self, trainer: Any, pl_module: Any) -> Reference:
        """The real images, a share of them on each rank."""
        size = image_size(pl_module.pipe, self.size or pl_module.generation.size)
        share = (trainer.global_rank, trainer.world_size)
        return Reference(self.given or trainer.datamodule.references(), size, share=share)

    def _counterparts(self, folder: Path, prediction: Prediction) -> Tensor:
        found = [_read(folder, caption) for caption in prediction.captions]
        if any(one.shape != prediction.images.shape[1:] for one in found):
            raise DataError(f"{folder} holds images of another size: {tuple(found[0].shape)}")
        baseline = torch.stack(found)
        return baseline


def _check_baseline(folder: Path, captions: Sequence[Caption]) -> None:
    """Refuse a folder in which an image is missing."""
    if not folder.is_dir():
        raise ConfigError(f"the baseline folder {folder} does not exist; predict un-accelerated images first")
    for caption in captions:
        if not (folder / caption.output_name).is_file():
            raise DataError(f"{folder} has no {caption.output_name}; generate the same captions there first")


def _read(folder: Path, caption: Caption) -> Tensor:
    source = Source(folder / caption.output_name, "image", "generate it again", limit=MOST)
    found = decode(source.read(), source)
    if found is None:
        raise DataError(f"{source.name} is broken; generate it again")
    return found
