"""Candidates judged by running them: each set of key steps is run once on the calibration captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fdplug.builtin.span_forecast import SpanForecast
from fdplug.config import PropagationConfig
from fdplug.pipeline import propagate
from fdplug.scores.psnr import decibels, image_decibels, squared_errors
from fdplug.tuning.calibration import Recorder


@dataclass(frozen=True)
class Measured:
    """What a candidate does to the calibration images.

    Attributes:
        error: mean squared change of the final sample, in the unit of the calibration's costs.
        psnr: of all images against the un-accelerated ones, in dB; infinite if nothing changed.
        typical: the change of a typical image, in dB: the mean over images of 10 log10 of their mean squared changes,
            so that one picture that has become another one does not outweigh all others.
    """

    error: float
    psnr: float
    typical: float


class Trials:
    """Runs candidates, and remembers what came of them.

    Attributes:
        runs: how often the pipeline has run, the un-accelerated run included.
        plain: the un-accelerated run.
        told: called with the number of runs after each.
    """

    def __init__(
        self,
        pipe: Any,
        run: Callable[[], Tensor],
        *,
        settings: PropagationConfig | None = None,
        told: Callable[[int], None] = lambda runs: None,
    ) -> None:
        """Run the pipeline as it is.

        Args:
            pipe: the pipeline.
            run: calls it on the calibration captions, always the same way; returns images (N, 3, H, W) uint8.
            settings: of `fdplug.propagate`; the policy is that of each candidate.
            told: see above.
        """
        self._pipe, self._run, self.told = pipe, run, told
        self._settings = settings or PropagationConfig()
        self._known: dict[Any, Measured] = {}
        self.runs = 0
        self.plain, self._images = self._record(PropagationConfig.unaccelerated())

    def of(self, keys: Iterable[int], shares: Sequence[float] | None = None) -> Measured:
        """Return what these key steps do.

        Args:
            keys: the key steps.
            shares: per key step, in order, the share of the linear forecast in its span; None reuses features.
        """
        key = tuple(sorted(set(keys)))
        known = (key, None if shares is None else tuple(shares))
        if known not in self._known:
            recorder, images = self._record(self.settings(key, shares))
            error, typical = recorder.distance(self.plain), recorder.typical_distance(self.plain)
            self._known[known] = Measured(error, psnr(images, self._images), typical)
        return self._known[known]

    def settings(self, keys: Iterable[int], shares: Sequence[float] | None = None) -> PropagationConfig:
        """Return the settings of `fdplug.propagate` that a candidate is run with."""
        key = tuple(sorted(set(keys)))
        settings = self._settings.changed(policy=self._policy(key))
        if shares is None:
            return settings
        return settings.changed(cache=SpanForecast(dict(zip(key, shares, strict=True))))

    def final(self, keys: Iterable[int], injector: Any) -> Tensor:
        """Return how far key steps with another injector move the final sample, (N, ...)."""
        recorder, _ = self._record(self._settings.changed(policy=self._policy(keys), injector=injector))
        assert recorder.end is not None
        assert self.plain.end is not None
        return recorder.end.float() - self.plain.end.float()

    def _policy(self, keys: Iterable[int]) -> Any:
        return policy_of(keys, len(self.plain.outputs))

    def _record(self, settings: PropagationConfig) -> tuple[Recorder, Tensor]:
        with propagate(self._pipe, settings), Recorder(self._pipe.scheduler) as recorder:
            images = self._run()
        self.runs += 1
        self.told(self.runs)
        return recorder, images


def policy_of(keys: Iterable[int], steps: int) -> Any:
    """Return the policy that takes exactly these of so many steps as key steps."""
    listed = sorted(set(keys))
    return "all" if len(listed) == steps else {"explicit": {"steps": listed}}


def psnr(images: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the mean over images, (N, ...) uint8; see `fdplug.scores.fidelity`."""
    errors = squared_errors(images, truth)
    if not errors.any():
        return decibels(0.0)
    return float(image_decibels(errors, 1 / images[0].numel()).mean())
