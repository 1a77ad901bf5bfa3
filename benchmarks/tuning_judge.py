"""Judges key steps on captions that they were not tuned on: image by image, so that differences can be paired."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fdplug.config import PropagationConfig
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.scores.psnr import decibels
from fdplug.shapes import MODELS
from fdplug.tuning.trials import policy_of

Array = npt.NDArray[np.float64]
HIGHEST = 60.0  # dB; equal images have no finite PSNR


@dataclass(frozen=True)
class Candidate:
    """One way to generate: key steps, or None for the pipeline as it is, with so many steps.

    `runs` is how many pipeline calls finding it took.
    """

    name: str
    keys: tuple[int, ...] | None
    steps: int
    injector: Any = "none"
    runs: int = 0

    @property
    def settings(self) -> PropagationConfig | None:
        """Of `fdplug.propagate`."""
        if self.keys is None:
            return None
        return PropagationConfig(policy=policy_of(self.keys, self.steps), injector=self.injector)


class Judge:
    """Compares candidates with the first of them, image by image.

    Args:
        pipe: the pipeline.
        generation: guidance and seed; the steps are each candidate's own.
        model: an embedded one is also judged by its evaluators.
    """

    def __init__(self, pipe: Any, generation: GenerationConfig, model: str) -> None:
        self.pipe, self.generation = pipe, generation
        self.evaluators: Any = None
        if model in MODELS:
            from fdplug.shapes import evaluators

            self.evaluators = evaluators.load()

    def rows(
        self,
        candidates: Sequence[Candidate],
        captions: Sequence[Caption],
        batch_size: int,
        advance: Callable[[int], None],
    ) -> list[dict[str, Any]]:
        """Return one row per candidate, ready for json; the first one is the truth."""
        seen: list[dict[str, list[Array]]] = [{} for _ in candidates]
        gflops: dict[str, float] = {}
        for start in range(0, len(captions), batch_size):
            batch = captions[start : start + batch_size]
            truth = self._generate(candidates[0], batch, gflops)
            for candidate, values in zip(candidates, seen, strict=True):
                images = truth if candidate is candidates[0] else self._generate(candidate, batch, gflops)
                for name, array in self._compare(images, truth, batch).items():
                    values.setdefault(name, []).append(array)
                advance(len(batch))
        joined = [{name: np.concatenate(parts) for name, parts in values.items()} for values in seen]
        return [
            {**_what(candidate), "gflops_per_image": gflops[candidate.name], **_summary(values, joined[0])}
            for candidate, values in zip(candidates, joined, strict=True)
        ]

    def _generate(self, candidate: Candidate, batch: Sequence[Caption], gflops: dict[str, float]) -> Tensor:
        generation = GenerationConfig(
            steps=candidate.steps,
            guidance=self.generation.guidance,
            size=self.generation.size,
            seed=self.generation.seed,
        )
        counted = candidate.settings or PropagationConfig.unaccelerated()
        done = run(self.pipe, batch, generation, counted, count=candidate.name not in gflops)
        if done.counted:
            gflops[candidate.name] = done.counted["full"]
        return done.images

    def _compare(self, images: Tensor, truth: Tensor, batch: Sequence[Caption]) -> dict[str, Array]:
        error = (images.double() - truth.double()).square().flatten(1).mean(1).numpy()
        found = {"error": error}
        if self.evaluators is not None:
            floats, texts = images.float() / 255, [one.text for one in batch]
            with torch.no_grad():
                features, wanted = (
                    self.evaluators.embed_images(floats),
                    self.evaluators.embed_images(truth.float() / 255),
                )
                found["features"] = 1 - (features * wanted).sum(1).double().numpy()
                found["semantics"] = self.evaluators.semantics(floats, texts)["all"].double().numpy()
        return found


def _what(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "steps": candidate.steps,
        "keys": None if candidate.keys is None else list(candidate.keys),
        "injector": candidate.injector,
        "runs": candidate.runs,
    }


def _summary(values: dict[str, Array], truth: dict[str, Array]) -> dict[str, Any]:
    """PSNR over all images, means over images with standard errors, and what they were image by image."""
    mean = float(values["error"].mean())
    each = [min(HIGHEST, decibels(max(one, 1e-9))) for one in values["error"]]
    found: dict[str, Any] = {
        "psnr": decibels(mean) if mean else None,
        "image_psnr": _with_error(np.array(each)),
        "images": len(each),
        "per_image": {"psnr": [round(one, 3) for one in each]},
    }
    if "features" in values:
        found["feature_distance"] = _with_error(values["features"])
        found["semantic_accuracy"] = _with_error(values["semantics"])
        found["semantic_difference"] = _with_error(values["semantics"] - truth["semantics"])
        found["per_image"] |= {
            "features": [round(float(one), 5) for one in values["features"]],
            "semantics": [int(one) for one in values["semantics"]],
        }
    return found


def _with_error(values: Array) -> list[float]:
    """Mean and its standard error."""
    return [float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))]
