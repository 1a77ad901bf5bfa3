"""The figures of the curve: every method's scores with their errors, and their paired differences to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks.shapes_curve.methods import baseline
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.generation.loading import load_pipeline
from fdplug.scores.detail import detail_kept
from fdplug.scores.features.frechet import frechet_distance
from fdplug.scores.uncertainty import Estimate, clustered, frechet_resamples, mean, moments, paired, share
from fdplug.shapes import MODELS, evaluators, pipeline_folder
from fdplug.shapes.annotations import WORLDS, Reference, held_out_scenes
from fdplug.shapes.coding import decode, encode
from fdplug.shapes.texture import high_frequency_level, patch_spectra, texture_distance
from fdplug.shapes.training.batches import batch_of

REFERENCE_SEED = 4000
REFERENCE_PICTURES = 4000
SCALES = {"frechet_x1000": 1000.0, "spectra_frechet": 1.0}
Figures = dict[str, Any]


class Base(NamedTuple):
    """What rows are compared with.

    Attributes:
        values: scores of each picture.
        distances: Frechet distances of the set, each with its resamples.
        images: the pictures.
        stochastic: whether every step adds fresh noise, so that no other row has the same pictures.
    """

    values: dict[str, Tensor]
    distances: dict[str, tuple[float, Tensor]]
    images: Tensor
    stochastic: bool


class Pictures(NamedTuple):
    """The pictures of a method.

    Attributes:
        images: (N, 3, H, W) in [0, 1].
        calls: of the denoiser.
    """

    images: Tensor
    calls: int


def model_of(folder: Path | None, model: str = MODELS[0]) -> str:
    """The pipeline of an exported training run; the package's without one."""
    return model if folder is None else str(folder / pipeline_folder(model).name)


class Judge:
    """Scores sets of pictures of the same captions.

    Args:
        records: captions and the scenes to compare with.
        model: whose captions they are.
        folder: an exported training run instead of the package's model and evaluators.
    """

    def __init__(self, records: Sequence[Reference], model: str = MODELS[0], folder: Path | None = None) -> None:
        self.model = model_of(folder, model)
        self.evaluators = evaluators.load(folder=None if folder is None else folder / "evaluators")
        self.captions = [record.caption for record in records]
        self.drawn = batch_of([record.scene for record in records]).images
        others = batch_of(held_out_scenes(REFERENCE_PICTURES, REFERENCE_SEED, WORLDS[model])).images
        self.reference = {name: moments(clustered(features)) for name, features in self._features(others).items()}

    def values(self, images: Tensor, captions: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Scores of each picture: verdicts (N,) bool, distances and levels (N,); by other captions if any are given."""
        asked = self.captions if captions is None else captions
        return {
            **self.evaluators.semantics(images, asked),
            "clip_analogue": self.evaluators.clip_score(images, asked),
            "texture_db": texture_distance(images, self.drawn),
            "high_frequency_db": high_frequency_level(images, self.drawn),
        }

    def distances(self, images: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Frechet distances of the set, each with 200 resamples."""
        found = {}
        for name, features in self._features(images).items():
            cluster, reference = clustered(features), self.reference[name]
            scale = SCALES[name]
            found[name] = (
                scale * frechet_distance(moments(cluster), reference),
                scale * frechet_resamples(cluster, reference),
            )
        return found

    def fidelity(self, images: Tensor, base: Tensor) -> Figures:
        """How far pictures are from those of the baseline of the same noise."""
        found = {
            "psnr": psnr(images, base),
            "ssim": ssim(images, base),
            "shapes_lpips": 1000 * self.evaluators.perceptual_distance(images, base),
            "detail": detail_kept(images, base),
        }
        return {name: _estimate(mean(one)) for name, one in found.items()}

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        return {
            "frechet_x1000": self.evaluators.embed_images(images)[:, None],
            "spectra_frechet": patch_spectra(images),
        }


def score_methods(methods: Sequence[Variant], pictures: Mapping[str, Pictures], judge: Judge) -> Figures:
    """Score the pictures of every method, and for comparison drawn, mismatched and reconstructed ones.

    Args:
        methods: each baseline before what is compared with it.
        pictures: of every method, by name.
        judge: knows the captions.
    """
    shifted = [*judge.captions[1:], judge.captions[0]]
    rows = {
        "drawn": _row(judge, judge.drawn),
        "drawn, captions shifted": _values(judge.values(judge.drawn, shifted)),
        "reconstructed": _row(judge, _reconstructed(judge)),
    }
    bases: dict[str, Base] = {}
    for method in methods:
        images, calls = pictures[method.name]
        against = baseline(method, methods)
        row = _row(judge, images, bases.get(against))
        if method.name == against:
            stochastic = against != methods[0].name
            bases[against] = Base(judge.values(images), judge.distances(images), images, stochastic)
        rows[method.name] = {"steps": method.steps, "calls": calls, **_kind(method), "against": against, **row}
    return {"baseline": methods[0].name, "reference_pictures": REFERENCE_PICTURES, "rows": rows}


def _kind(method: Variant) -> Figures:
    return {"sampler": method.sampler_name, "line": line_of(method), "propagation": method.propagation is not None}


def line_of(method: Variant) -> str:
    """What a row's line is called in the chart: its sampler and where its timesteps are."""
    title, _, placed = method.name.partition(", ")
    return ", ".join(filter(None, (title.rpartition("-")[0], placed)))


def _values(values: dict[str, Tensor]) -> Figures:
    return {name: _estimate(share(one) if one.dtype == torch.bool else mean(one)) for name, one in values.items()}


def _row(judge: Judge, images: Tensor, base: Base | None = None) -> Figures:
    """Every figure as ``{"value", "error"}``; with ``difference`` and ``difference_error`` against a baseline."""
    values, distances = judge.values(images), judge.distances(images)
    row = _values(values)
    row |= {name: _estimate(Estimate(value, float(many.std()))) for name, (value, many) in distances.items()}
    if base is None:
        return row
    for name, one in values.items():
        difference = paired(one.double(), base.values[name].double())
        row[name] |= {"difference": difference.value, "difference_error": difference.error}
    for name, (value, many) in distances.items():
        other, others = base.distances[name]
        row[name] |= {"difference": value - other, "difference_error": float((many - others).std())}
    return row if base.stochastic else row | judge.fidelity(images, base.images)


def psnr(images: Tensor, base: Tensor) -> Tensor:
    """PSNR (N,) in dB of each picture to its counterpart; equal 8-bit pictures count as half a level apart."""
    error = (images - base).square().mean(dim=(1, 2, 3)).clamp(min=(0.5 / 255) ** 2)
    return -10 * error.log10()


def ssim(images: Tensor, base: Tensor) -> Tensor:
    """SSIM (N,) of each picture to its counterpart."""
    return torch.as_tensor(structural_similarity_index_measure(images, base, data_range=1.0, reduction="none"))


def _estimate(one: Estimate) -> Figures:
    return {"value": one.value, "error": one.error}


@torch.inference_mode()
def _reconstructed(judge: Judge) -> Tensor:
    pipe = load_pipeline(judge.model)
    parts = [decode(pipe.vae, encode(pipe.vae, part)) for part in judge.drawn.split(64)]
    levels = np.rint(torch.cat(parts).numpy() * 255).astype(np.uint8)
    return torch.from_numpy(levels).float() / 255
