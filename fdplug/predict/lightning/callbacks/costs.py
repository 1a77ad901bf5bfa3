"""What predicting cost, as a Lightning callback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.predict.lightning.callbacks.base import LogNumbers
from fdplug.predict.lightning.distributed import over_ranks

if TYPE_CHECKING:
    from fdplug.predict.lightning.prediction import Prediction


class LogCosts(LogNumbers):
    """Seconds per image, of the denoiser and in all; GFLOPs per image and key steps if features were propagated.

    They are means over all images of all processes. The first batch of each process is left out of the seconds if it
    had others.
    """

    group: ClassVar[str] = "cost"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._first = self._others = (0.0, 0.0, 0.0)  # images, their seconds, their denoiser seconds
        self._propagated = (0.0, 0.0)  # images, their GFLOPs
        self._knows_denoiser = False
        self._key_steps = 0

    def update(self, prediction: Prediction) -> None:
        count = len(prediction.captions)
        self._knows_denoiser |= prediction.denoiser_seconds is not None
        seconds = (count, prediction.seconds, prediction.denoiser_seconds or 0.0)
        if self._first[0]:
            self._others = _sum(self._others, seconds)
        else:
            self._first = seconds
        if prediction.gflops is not None and prediction.key_steps is not None:
            self._propagated = _sum(self._propagated, (count, prediction.gflops))
            self._key_steps = max(self._key_steps, prediction.key_steps)

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        own = self._others if self._others[0] else self._first
        timed, seconds, denoiser_seconds = (over_ranks(trainer, number) for number in own)
        images, gflops = (over_ranks(trainer, number) for number in self._propagated)
        key_steps = over_ranks(trainer, self._key_steps, "max")
        values = {"seconds_per_image": seconds / timed}
        if over_ranks(trainer, self._knows_denoiser, "max"):
            values["denoiser_seconds_per_image"] = denoiser_seconds / timed
        return values | ({"gflops_per_image": gflops / images, "key_steps": int(key_steps)} if images else {})


def _sum(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))
