"""What loggers get besides numbers: settings to compare runs by, the first images, their captions, the key steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image

from fdplug.predict.lightning.callbacks.base import LogNumbers
from fdplug.predict.storage.preview import preview

if TYPE_CHECKING:
    from fdplug.predict.lightning.prediction import Prediction

SHOWN, ACROSS, GAP = 16, 4, 2
COMPUTED, REPLAYED, GROUND = (11, 92, 173), (200, 206, 216), (255, 255, 255)
CELL = (12, 24)


class LogRun(Callback):
    """Hands the settings to every logger; images, captions and key steps to TensorBoard and Weights & Biases."""

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []
        self.captions: list[str] = []

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Log the settings before anything can go wrong."""
        self.pictures, self.captions = [], []
        self.settings = _flat(pl_module.settings(trainer.strategy.root_device))
        for logger in trainer.loggers if trainer.is_global_zero else ():
            only_kept = ({},) if isinstance(logger, TensorBoardLogger) else ()  # it shows them beside numbers only
            logger.log_hyperparams(self.settings, *only_kept)

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Prediction, *args: Any, **more: Any) -> None:
        """Keep the first images."""
        for image, caption in zip(outputs.images, outputs.captions, strict=True):
            if len(self.pictures) < SHOWN:
                self.pictures.append(preview(image))
                self.captions.append(caption.text)

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the pictures, and the settings beside all numbers."""
        if not trainer.is_global_zero:
            return
        numbers = [one for one in trainer.callbacks if isinstance(one, LogNumbers)]
        values = {key: value for one in numbers for key, value in one.grouped(one.values).items()}
        shown = {"images": sheet(self.pictures)} if self.pictures else {}
        if pl_module.ledger is not None:
            shown["key_steps"] = strip(pl_module.ledger.num_steps, pl_module.ledger.key_steps)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self._tensorboard(logger, shown, values)
            elif isinstance(logger, WandbLogger):
                for name, picture in shown.items():
                    logger.log_image(name, [picture], caption=["\n".join(self.captions) if name == "images" else name])

    def _tensorboard(self, logger: Any, shown: Mapping[str, Image.Image], values: Mapping[str, float]) -> None:
        from torch.utils.tensorboard.summary import hparams

        for name, picture in shown.items():
            logger.experiment.add_image(name, np.asarray(picture), 0, dataformats="HWC")
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(self.captions, 1))
        logger.experiment.add_text("captions", listed, 0)
        plain = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in self._set()}
        for summary in hparams(plain, {key: float(value) for key, value in values.items()}):
            logger.experiment._get_file_writer().add_summary(summary)
        logger.save()

    def _set(self) -> Sequence[tuple[str, Any]]:
        return [(key, value) for key, value in self.settings.items() if value is not None]


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures on one sheet, from left to right and down; smaller ones stand in the corner of their cell."""
    width, height = (max(sizes) for sizes in zip(*(one.size for one in pictures), strict=True))
    across = min(ACROSS, len(pictures))
    down = -(-len(pictures) // across)
    whole = Image.new("RGB", (across * (width + GAP) - GAP, down * (height + GAP) - GAP), GROUND)
    for place, one in enumerate(pictures):
        whole.paste(one, (place % across * (width + GAP), place // across * (height + GAP)))
    return whole


def strip(steps: int, key_steps: Sequence[int]) -> Image.Image:
    """Return a run as one cell a step, dark where the part was computed."""
    width, height = CELL
    whole = Image.new("RGB", (steps * (width + GAP) - GAP, height), GROUND)
    for step in range(steps):
        colour = COMPUTED if step in key_steps else REPLAYED
        whole.paste(colour, (step * (width + GAP), 0, step * (width + GAP) + width, height))
    return whole


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings as one level, by dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) and value else {f"{above}{key}": value}
    return found
