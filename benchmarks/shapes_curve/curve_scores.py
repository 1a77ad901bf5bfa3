"""The figures of the curve: every method's scores with their errors, and their paired differences to the baseline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks.shapes_curve.curve import picture_path
from benchmarks.shapes_curve.methods import BASELINE, Method, chosen
from fdplug.scores.features.frechet import frechet_distance
from fdplug.scores.uncertainty import Estimate, clustered, frechet_resamples, mean, moments, paired, share
from fdplug.shapes import evaluators, generate
from fdplug.shapes.annotations import held_out_scenes, references
from fdplug.shapes.coding import decode, encode
from fdplug.shapes.texture import high_frequency_level, patch_spectra, texture_distance
from fdplug.shapes.training.batches import batch_of

REFERENCE_SEED = 4000
REFERENCE_PICTURES = 4000
SCALES = {"frechet_x1000": 1000.0, "spectra_frechet": 1.0}
Figures = dict[str, Any]
Base = tuple[dict[str, Tensor], dict[str, tuple[float, Tensor]], Tensor]


class Judge:
    """Scores sets of pictures of the same captions.

    Args:
        options: what `benchmarks.shapes_curve.curve.parser` reads.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        folder = None if options.folder is None else options.folder / "evaluators"
        self.evaluators = evaluators.load(folder=folder)
        records = references()[: options.captions]
        self.captions = [record.caption for record in records]
        self.drawn = batch_of([record.scene for record in records]).images
        others = batch_of(held_out_scenes(REFERENCE_PICTURES, REFERENCE_SEED)).images
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

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        return {
            "frechet_x1000": self.evaluators.embed_images(images)[:, None],
            "spectra_frechet": patch_spectra(images),
        }


def score_methods(options: argparse.Namespace) -> Figures:
    """Score the pictures of every method, and for comparison drawn, mismatched and reconstructed ones."""
    judge = Judge(options)
    shifted = [*judge.captions[1:], judge.captions[0]]
    rows = {
        "drawn": _row(judge, judge.drawn),
        "drawn, captions shifted": _values(judge.values(judge.drawn, shifted)),
        "reconstructed": _row(judge, _reconstructed(judge, options)),
    }
    base: Base | None = None
    for method in chosen(options.methods):
        stored = torch.load(picture_path(options.out, method, options), weights_only=True)
        images = stored["images"].float() / 255
        row = _row(judge, images, base)
        if method.name == BASELINE:
            base = judge.values(images), judge.distances(images), images
        rows[method.name] = {"cpu_s": stored["cpu_s"], "steps": method.steps, **_kind(method), **row}
    settings = {key: getattr(options, key) for key in ("captions", "guidance", "seed")}
    return {"settings": settings, "baseline": BASELINE, "reference_pictures": REFERENCE_PICTURES, "rows": rows}


def _kind(method: Method) -> Figures:
    return {"sampler": method.sampler, "propagation": method.policy is not None}


def _values(values: dict[str, Tensor]) -> Figures:
    return {name: _estimate(share(one) if one.dtype == torch.bool else mean(one)) for name, one in values.items()}


def _row(judge: Judge, images: Tensor, base: Base | None = None) -> Figures:
    """Every figure as ``{"value", "error"}``; with ``difference`` and ``difference_error`` against a baseline."""
    values, distances = judge.values(images), judge.distances(images)
    row = _values(values)
    row |= {name: _estimate(Estimate(value, float(many.std()))) for name, (value, many) in distances.items()}
    if base is None:
        return row
    base_values, base_distances, base_images = base
    for name, one in values.items():
        difference = paired(one.double(), base_values[name].double())
        row[name] |= {"difference": difference.value, "difference_error": difference.error}
    for name, (value, many) in distances.items():
        other, others = base_distances[name]
        row[name] |= {"difference": value - other, "difference_error": float((many - others).std())}
    fidelity = {"psnr": mean(psnr(images, base_images)), "ssim": mean(ssim(images, base_images))}
    return row | {name: _estimate(one) for name, one in fidelity.items()}


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
def _reconstructed(judge: Judge, options: argparse.Namespace) -> Tensor:
    pipe = generate.load_pipeline(None if options.folder is None else options.folder / "pipeline")
    parts = [decode(pipe.vae, encode(pipe.vae, part)) for part in judge.drawn.split(64)]
    levels = np.rint(torch.cat(parts).numpy() * 255).astype(np.uint8)
    return torch.from_numpy(levels).float() / 255
