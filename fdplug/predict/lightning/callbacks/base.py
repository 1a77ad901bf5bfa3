"""The base of the Lightning callbacks that end in numbers.

Each logs its numbers to the trainer's loggers when the last image is done, and keeps them in `values`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from fdplug.predict.lightning.distributed import over_ranks

if TYPE_CHECKING:
    from fdplug.predict.lightning.prediction import Prediction


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
        self.images = 0

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        if outputs.captions:
            self.images += len(outputs.captions)
            self.update(outputs)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute on every rank, log on the first."""
        images = over_ranks(trainer, self.images)
        self.values = self.compute(trainer, pl_module) if images else {}
        self.publish(trainer, self.values)

    def publish(self, trainer: Any, values: dict[str, float]) -> None:
        """Hand numbers to every logger, on the first rank."""
        for logger in trainer.loggers if trainer.is_global_zero and values else ():
            logger.log_metrics(values)
            logger.save()
