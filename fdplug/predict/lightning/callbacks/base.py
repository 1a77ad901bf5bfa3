"""The base of the Lightning callbacks that end in numbers.

Each logs its numbers to the trainer's loggers when the last image is done, and keeps them in `values`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from fdplug.predict.lightning.distributed import over_ranks

if TYPE_CHECKING:
    from fdplug.predict.lightning.prediction import Prediction

ERROR = "_se"  # at the end of the name of a number's standard error


class LogNumbers(Callback):
    """Base: take every batch, and log some numbers at the end.

    A process may get no image at all, if there are few of them or if they hold no numbers.

    Attributes:
        group: under which TensorBoard and Weights & Biases show the numbers.
    """

    group: ClassVar[str] = "quality"

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
            in_groups = isinstance(logger, TensorBoardLogger | WandbLogger)
            logger.log_metrics(self.grouped(values) if in_groups else values)
            logger.save()

    def grouped(self, values: dict[str, float]) -> dict[str, float]:
        """Return numbers by the names of a logger that shows groups; standard errors have one of their own."""
        return {
            f"standard_error/{key.removesuffix(ERROR)}" if key.endswith(ERROR) else f"{self.group}/{key}": value
            for key, value in values.items()
        }
